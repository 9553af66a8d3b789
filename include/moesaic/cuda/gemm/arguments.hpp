// What every kernel of the grouped GEMM is given, and how it is launched.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include <moesaic/core/status.hpp>
#include <moesaic/cuda/gemm/tile_list.hpp>
#include <moesaic/cuda/launch.hpp>
#include <moesaic/semantics/gemm.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

/// out.row(r) = a.row(source of r) · W_eᵀ; null expert_offsets give all rows of `out` to expert 0.
template <class Rows, weight_format F>
struct gemm_arguments {
  gemm_input<Rows> a;
  weight_matrices<F> w;
  std::int32_t const* expert_offsets;
  matrix_view<float> out;
};

#pragma GCC visibility push(hidden)  // see cuda/launch.hpp

/// Enqueues a kernel that walks tiles and begins with ptx::follow_dependency: as many blocks as the device holds at once, or as there can
/// be tiles where those are fewer. Tile: rows, columns, threads, static_bytes and dynamic_bytes of shared memory; the list of tiles comes
/// behind the latter.
template <class Tile, class Rows, weight_format F>
status start_gemm(cudaStream_t stream, int multiprocessors, int blocks_each, void (*kernel)(gemm_arguments<Rows, F>),
                  gemm_arguments<Rows, F> const& g) {
  if (g.w.experts > most_experts) return {errc::out_of_range, "w", "experts", g.w.experts, most_experts};
  std::int64_t const tiles = most_tiles(g.out.rows, g.w.experts, Tile::rows, ceil_div(g.w.n, Tile::columns));
  std::int64_t const blocks = std::int64_t{multiprocessors} * blocks_each;
  if (tiles <= 0) return {};
  int const bytes = Tile::dynamic_bytes + tile_list_bytes(g.w.experts);
  if (Tile::static_bytes + bytes > 48 * 1024)
    if (status const s = allow_shared(kernel, bytes); !s) return s;
  return start(stream,
               {.blocks = static_cast<unsigned>(tiles < blocks ? tiles : blocks),
                .threads = Tile::threads,
                .shared_bytes = static_cast<unsigned>(bytes),
                .overlaps = true},
               kernel, g);
}

#pragma GCC visibility pop

}  // namespace moesaic::inline MOESAIC_ABI::cuda
