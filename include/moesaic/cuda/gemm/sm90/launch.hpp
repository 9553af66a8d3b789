// Starting the Hopper GEMMs: as many CTAs as the device holds at once, which walk all tiles.
#pragma once

#include <cuda_runtime_api.h>

#include <moesaic/cuda/gemm/sm90/row_gemm.hpp>
#include <moesaic/cuda/gemm/sm90/weight_gemm.hpp>
#include <moesaic/cuda/launch.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::sm90 {

#pragma GCC visibility push(hidden)  // see cuda/launch.hpp

/// A grid of `ctas` CTAs an SM of the current device, each with `shared_bytes` of dynamic shared memory. `overlaps`: it may start before
/// the kernel ahead of it in the stream is over, for which it waits itself. device_refused: see start().
template <class Arguments>
status launch_persistent(cudaStream_t stream, void (*kernel)(Arguments), int ctas, int threads, int shared_bytes, bool overlaps,
                         Arguments const& arguments) {
  if (status const s = allow_shared(kernel, shared_bytes); !s) return s;
  return start(stream,
               {.blocks = static_cast<unsigned>(multiprocessors_here() * ctas),
                .threads = static_cast<unsigned>(threads),
                .shared_bytes = static_cast<unsigned>(shared_bytes),
                .overlaps = overlaps},
               kernel, arguments);
}

/// row_gemm with this tile; a.tiles.n_tiles counts its columns. It may start early, but reads and writes after that only; with
/// a.reads_early it reads expert_offsets and weights at once: the kernel ahead must then have waited for what writes them before it let
/// this one start, as all of moesaic's do.
template <class Tile, class Epilogue, class Rows>
status launch_row_gemm(cudaStream_t stream, gemm_arguments<Epilogue, Rows> const& a) {
  static_assert(Tile::shared_bytes(512) <= shared_memory_limit);
  return launch_persistent(stream, row_gemm_kernel<Tile, Epilogue, Rows>, Tile::ctas, Tile::threads, Tile::shared_bytes(a.tiles.count()),
                           true, a);
}
/// weight_gemm with this tile: the same bits.
template <class Tile, class Epilogue, class Rows>
status launch_weight_gemm(cudaStream_t stream, gemm_arguments<Epilogue, Rows> const& a) {
  static_assert(Tile::ctas * (Tile::shared_bytes(512) + 1024) <= shared_memory_limit + 1024);  // 1 KB of each CTA is the system's
  return launch_persistent(stream, weight_gemm_kernel<Tile, Epilogue, Rows>, Tile::ctas, Tile::threads, Tile::shared_bytes(a.tiles.count()),
                           true, a);
}

#pragma GCC visibility pop

}  // namespace moesaic::inline MOESAIC_ABI::cuda::sm90
