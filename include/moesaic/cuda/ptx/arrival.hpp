// Counting who has come, across the blocks of a grid that need not run at the same time.
#pragma once

#include <cstdint>

#include <moesaic/core/macros.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::ptx {

/// Adds one to *count and gives what it was. All that the thread has written or knows to be written (by its block, ahead of a barrier) is
/// seen by whoever comes later.
__device__ inline std::uint32_t arrive([[maybe_unused]] std::uint32_t* count) {
  std::uint32_t before = 0;
#if defined(__CUDA_ARCH__)
  asm volatile("atom.add.acq_rel.gpu.u32 %0, [%1], 1;" : "=r"(before) : "l"(count) : "memory");
#endif
  return before;
}

}  // namespace moesaic::inline MOESAIC_ABI::cuda::ptx
