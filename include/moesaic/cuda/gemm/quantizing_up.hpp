// Hidden rows quantised by the step up itself. A scale is for 128 columns of a row, and tiles have 8 to 128: so tiles store fp32, and
// whichever block ends the last tile of 128 columns quantises that tile row of them, from L2. Which one that is shows in no bit.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include <moesaic/core/views.hpp>
#include <moesaic/cuda/gemm/arguments.hpp>
#include <moesaic/cuda/ptx/arrival.hpp>
#include <moesaic/cuda/ptx/mma_sync.hpp>
#include <moesaic/cuda/quantize.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

/// Up: up_arguments of format f32, whose `out` has the rows on their way, 16-byte aligned; n a multiple of 8. `done`:
/// counter_bytes(rows, groups, n), all zero before each launch. Hidden rows [rows, n] become out's by quantize_rows; those of no group
/// are left alone.
template <class Up, class Scale>
struct quantizing_up : Up {
  quantized_rows<Scale> hidden;
  std::uint32_t* done;
};

/// No tile of the kernels that take quantizing_up has fewer rows.
inline constexpr int least_tile_rows = 16;

/// A word for each tile row's 128 columns.
constexpr std::size_t counter_bytes(std::int64_t rows, int groups, std::int64_t columns) {
  return static_cast<std::size_t>(most_tiles(rows, groups, least_tile_rows, ceil_div(columns, scale_block))) * 4;
}

/// By all threads of a block that has stored a tile's sums.
template <class Tile, class Arguments>
__device__ inline void finish_tile([[maybe_unused]] Arguments const& g, [[maybe_unused]] block_tiles<Tile> const& tiles,
                                   [[maybe_unused]] group_tile const& tile) {
  if constexpr (requires { g.done; }) {
    constexpr int tiles_of_block = scale_block / Tile::columns;
    static_assert(scale_block % Tile::columns == 0 && Tile::rows >= least_tile_rows);
    int const thread = ptx::thread_again(), block = tile.n / tiles_of_block;
    __syncthreads();
    bool last = false;
    if (thread == 0) {
      int const n_tiles = tiles.groups.n_tiles, all = n_tiles - block * tiles_of_block;
      std::int64_t const first = tiles.groups.first_row(tile.group);
      std::int64_t const tile_row = tiles.starts[tile.group] / n_tiles + (tile.row - first) / Tile::rows;
      std::uint32_t const before = ptx::arrive(g.done + tile_row * ceil_div(n_tiles, tiles_of_block) + block);
      last = static_cast<int>(before) + 1 == (all < tiles_of_block ? all : tiles_of_block);
    }
    if (__syncthreads_or(last ? 1 : 0) == 0) return;
    using source = detail::stored_values<float>;
    constexpr int at_once = Tile::threads / source::lanes, rows_of_warp = 32 / source::lanes;
    int const rows = tile.rows_left < Tile::rows ? tile.rows_left : Tile::rows;
#pragma unroll 1
    for (int r = thread / 32 * rows_of_warp; r < rows; r += at_once) {
      int const row = r + thread % 32 / source::lanes;
      detail::quantize_share(source{g.out}, detail::same_row{}, g.hidden, static_cast<int>(g.w.n), tile.row + row, block,
                             thread % source::lanes, row < rows);
    }
  }
}

}  // namespace moesaic::inline MOESAIC_ABI::cuda
