// Copies from memory to shared memory that a thread starts and does not wait for (sm_80 and later).
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include <moesaic/core/macros.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::ptx {

/// 16 bytes, aligned at both ends, past L1; or 4.
__device__ inline void cp_async_16(void* to, void const* from) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(static_cast<std::uint32_t>(__cvta_generic_to_shared(to))), "l"(from)
               : "memory");
}
__device__ inline void cp_async_4(void* to, void const* from) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(static_cast<std::uint32_t>(__cvta_generic_to_shared(to))), "l"(from)
               : "memory");
}
/// What the thread has started since the last time is a group.
__device__ inline void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Waits until at most the last `Pending` groups of this thread are under way.
template <int Pending>
__device__ inline void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
}
/// What this thread has written to shared memory is then seen by wgmma and the copy engine too, once they are told (sm_90).
__device__ inline void fence_for_async_proxy() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

}  // namespace moesaic::inline MOESAIC_ABI::cuda::ptx
