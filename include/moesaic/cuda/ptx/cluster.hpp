// A cluster's blocks: a barrier for all of them, and each other's shared memory (compute capability 9.0). Code for earlier architectures
// compiles, and has blocks that are alone.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include <moesaic/core/macros.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::ptx {

/// The block's dynamic shared memory.
template <class T>
__device__ inline T* dynamic_shared() {
  extern __shared__ __align__(1024) unsigned char moesaic_dynamic_shared[];
  return reinterpret_cast<T*>(moesaic_dynamic_shared);
}

/// All threads of all blocks: what was written to shared memory before arrive is seen after wait. All threads of a warp together.
__device__ inline void cluster_arrive() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
#endif
}
/// The same where nothing written is to be seen: only that everybody has come this far.
__device__ inline void cluster_arrive_relaxed() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory");
#endif
}
__device__ inline void cluster_wait() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
#endif
}

/// What block `rank` of the cluster has where this block has *mine, an address in shared memory.
__device__ inline std::uint32_t read_shared_of([[maybe_unused]] unsigned rank, std::uint32_t const* mine) {
#if __CUDA_ARCH__ >= 900
  std::uint32_t const address = static_cast<std::uint32_t>(::__cvta_generic_to_shared(mine));
  std::uint32_t remote, value;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(remote) : "r"(address), "r"(rank));
  asm volatile("ld.shared::cluster.u32 %0, [%1];" : "=r"(value) : "r"(remote));
  return value;
#else
  return *mine;
#endif
}
__device__ inline float4 read_shared_of([[maybe_unused]] unsigned rank, float4 const* mine) {
#if __CUDA_ARCH__ >= 900
  std::uint32_t const address = static_cast<std::uint32_t>(::__cvta_generic_to_shared(mine));
  std::uint32_t remote;
  float4 v;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(remote) : "r"(address), "r"(rank));
  asm volatile("ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [%4];" : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "r"(remote));
  return v;
#else
  return *mine;
#endif
}

}  // namespace moesaic::inline MOESAIC_ABI::cuda::ptx
