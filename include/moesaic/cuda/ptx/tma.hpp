// Copies by the tensor memory accelerator: boxes of a matrix into shared memory (sm_90 and later).
#pragma once

#include <cuda.h>

#include <cstdint>

#include <moesaic/core/macros.hpp>
#include <moesaic/cuda/ptx/mbarrier.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::ptx {

/// How long a copy's lines should stay in L2.
__device__ inline std::uint64_t evict_first() {
  std::uint64_t policy;
  asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
  return policy;
}
__device__ inline std::uint64_t evict_last() {
  std::uint64_t policy;
  asm volatile("createpolicy.fractional.L2::evict_last.b64 %0, 1.0;" : "=l"(policy));
  return policy;
}

__device__ inline void prefetch_tensor_map(CUtensorMap const* map) { asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory"); }

/// Brings the box at (column, row) to `to`; the bytes count at `bar`. One thread calls it.
__device__ inline void tma_load(void* to, CUtensorMap const* map, std::int32_t column, std::int32_t row, std::uint64_t* bar,
                                std::uint64_t policy) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1, {%2, %3}], [%4], %5;" ::
          "r"(shared_address(to)),
      "l"(map), "r"(column), "r"(row), "r"(shared_address(bar)), "l"(policy)
      : "memory");
}

}  // namespace moesaic::inline MOESAIC_ABI::cuda::ptx
