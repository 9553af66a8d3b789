// A barrier for all blocks of a grid whose launch is cooperative.
#pragma once

#include <cstdint>

#include <moesaic/core/macros.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::ptx {

/// What arrive_at_grid tells wait_for_grid; known to thread 0 alone.
struct grid_ticket {
  std::uint32_t* word;
  std::uint32_t before;
};

/// All threads of all blocks: what was written before arrive is seen after wait. The driver lends a cooperative grid a word that is zero
/// between barriers but for its top bit; once all have come, that bit is the other one. It is the word, and the counting, of
/// cooperative_groups::this_grid().sync(), which is compiled into programs as well; its header is 50,000 lines.
__device__ inline grid_ticket arrive_at_grid() {
  grid_ticket t{};
#if defined(__CUDA_ARCH__)
  ::__syncthreads();
  if (threadIdx.x == 0) {
    std::uint32_t low, high;
    asm("mov.u32 %0, %%envreg1;" : "=r"(high));
    asm("mov.u32 %0, %%envreg2;" : "=r"(low));
    t.word = reinterpret_cast<std::uint32_t*>(std::uint64_t{high} << 32 | low) + 1;
    std::uint32_t const mine = blockIdx.x + blockIdx.y == 0 ? 0x8000'0000u - (gridDim.x * gridDim.y - 1) : 1;
    asm volatile("atom.add.release.gpu.u32 %0, [%1], %2;" : "=r"(t.before) : "l"(t.word), "r"(mine) : "memory");
  }
#endif
  return t;
}
__device__ inline void wait_for_grid([[maybe_unused]] grid_ticket const& t) {
#if defined(__CUDA_ARCH__)
  if (threadIdx.x == 0) {
    std::uint32_t now;
    do {
      asm volatile("ld.acquire.gpu.u32 %0, [%1];" : "=r"(now) : "l"(t.word) : "memory");
    } while (((now ^ t.before) & 0x8000'0000u) == 0);
  }
  ::__syncthreads();
#endif
}

}  // namespace moesaic::inline MOESAIC_ABI::cuda::ptx
