// The stand-in for the header of the same name: thread 0 of a block arrives and waits for it.
#pragma once

#include <cuda_runtime_api.h>

#include <moesaic/core/macros.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::ptx {

struct grid_ticket {};

inline grid_ticket arrive_at_grid() {
  if (!::fibers::is_cooperative()) ::fibers::fail("a barrier of a grid whose launch is not cooperative");
  __syncthreads();
  if (threadIdx.x == 0) ::fibers::arrive_at_group(::fibers::blocks_together());
  return {};
}
inline void wait_for_grid(grid_ticket) {
  if (threadIdx.x == 0) ::fibers::wait_for_group();
  __syncthreads();
}

}  // namespace moesaic::inline MOESAIC_ABI::cuda::ptx
