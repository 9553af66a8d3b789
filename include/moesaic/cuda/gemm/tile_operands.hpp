// What a block of the mma.sync kernels knows of the tile that it multiplies.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include <moesaic/cuda/gemm/arguments.hpp>
#include <moesaic/cuda/gemm/operands.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

/// Where a tile's rows and weight rows lie, in shared memory, because the registers of those who multiply are all taken. Behind the group's
/// last row and the matrix's last one there is that one again: what comes of it is stored nowhere.
template <class Tile, class Arguments>
struct tile_operands {
  static constexpr weight_format format = Arguments::format;
  using row_type = typename Arguments::row_type;
  static constexpr int weight_rows = Tile::pieces * Tile::columns;
  static_assert(Tile::pieces == Arguments::pieces && weight_rows <= Tile::threads);

  typename row_operand<row_type>::element const* row[Tile::rows];
  weight_code_t<format> const* weight[weight_rows];
  float const* weight_scales[Tile::pieces];  // of the tile's rows, all in one block of 128, one for 128 columns
  std::int32_t source[Tile::rows];
  group_tile tile;
  int next;  // tile of this block

  /// By all threads of the block, between two barriers.
  __device__ void fill(Arguments const& g, block_tiles<Tile> const& tiles, group_tile const& t, int number) {
    int const thread = ptx::thread_again();
    if (thread == 0) tile = t, next = number + static_cast<int>(gridDim.x);
    if (thread < Tile::rows) {
      source[thread] = static_cast<std::int32_t>(source_of(g, t.row + (thread < t.rows_left ? thread : t.rows_left - 1)));
      row[thread] = row_operand<row_type>::row(g.a.rows, source[thread]);
    }
    if (thread < weight_rows) {
      weight_matrices<format> const& w = g.weights(thread / Tile::columns, t.group < tiles.groups.ahead());
      int const e = tiles.groups.expert(t.group);
      std::int64_t const column = std::int64_t{t.n} * Tile::columns, n = column + thread % Tile::columns;
      weight[thread] = w.row(e, n < w.n ? n : w.n - 1);
      if constexpr (format == weight_format::e4m3_128x128)
        if (thread % Tile::columns == 0)
          weight_scales[thread / Tile::columns] = w.scales[e] + column / scale_block * ceil_div(w.k, scale_block);
    }
  }

  /// The scale of a row and a piece for 128 columns.
  __device__ float scale(Arguments const& g, int piece, int r, int block) const {
    float w = 1.0F;
    if constexpr (format == weight_format::e4m3_128x128) w = weight_scales[piece][block];
    return product(row_scale(g.a.rows, source[r], block), w);
  }
};

}  // namespace moesaic::inline MOESAIC_ABI::cuda
