// The stand-in for the header of the same name: a cooperative grid's blocks run together.
#pragma once

#include <cuda_runtime_api.h>

#include <moesaic/core/macros.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::ptx {

struct grid_ticket {
  unsigned generation;
};

inline grid_ticket arrive_at_grid() {
  if (!simt::now.cooperative) simt::fail("a barrier of a grid whose launch is not cooperative");
  __syncthreads();
  return {simt::arrive(simt::now.cluster, static_cast<int>(simt::now.fibers.size()))};
}
inline void wait_for_grid(grid_ticket const& t) { simt::wait(simt::now.cluster, t.generation); }

}  // namespace moesaic::inline MOESAIC_ABI::cuda::ptx
