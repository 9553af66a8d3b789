// The tiles of a grouped GEMM: which expert, rows and columns tile number t is, from the experts' offsets alone, so that a grid need not
// know how many rows an expert has. Plain arithmetic on host and device; no CUDA in here.
#pragma once

#include <cstdint>

#include <moesaic/core/macros.hpp>
#include <moesaic/core/views.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

/// Rows [row, last) and the columns from `column` on, all of one expert.
struct gemm_tile {
  int expert;
  std::int64_t row, last, column;
};

/// The rows of expert e: [expert_offsets[e], expert_offsets[e+1]), or all `rows` of them for the one expert of null offsets.
MOESAIC_HD constexpr std::int64_t first_row(std::int32_t const* expert_offsets, std::int64_t rows, int e) {
  return expert_offsets != nullptr ? expert_offsets[e] : e * rows;
}

/// How many tiles high expert e is.
MOESAIC_HD constexpr int tiles_high(std::int32_t const* expert_offsets, std::int64_t rows, int e, int tile_rows) {
  return static_cast<int>(ceil_div(first_row(expert_offsets, rows, e + 1) - first_row(expert_offsets, rows, e), tile_rows));
}

/// The most tiles that `rows` rows can make, however they are shared out: what a grid is sized by.
MOESAIC_HD constexpr std::int64_t most_tiles(std::int64_t rows, int experts, int tile_rows, std::int64_t tiles_wide) {
  std::int64_t const cut = experts < rows ? experts : rows;  // experts that have a row; each may end in the middle of a tile
  return ((rows - cut) / tile_rows + cut) * tiles_wide;
}

/// Tile t of first_tile[experts] · tiles_wide, where first_tile[e] is how many tiles high all experts before e are. Down the rows of an
/// expert first: blocks that run at the same time then share the weights of a column of tiles.
MOESAIC_HD constexpr gemm_tile tile_at(std::int64_t t, std::int32_t const* first_tile, std::int32_t const* expert_offsets,
                                       std::int64_t rows, int experts, int tile_rows, int tile_columns, std::int64_t tiles_wide) {
  int e = 0;
  for (int end = experts; end - e > 1;) {  // the last e with first_tile[e] · tiles_wide ≤ t
    int const middle = (e + end) / 2;
    if (first_tile[middle] * tiles_wide <= t)
      e = middle;
    else
      end = middle;
  }
  std::int64_t const high = first_tile[e + 1] - first_tile[e], of_expert = t - first_tile[e] * tiles_wide;
  std::int64_t const first = first_row(expert_offsets, rows, e), last = first_row(expert_offsets, rows, e + 1);
  std::int64_t const row = first + of_expert % high * tile_rows;
  return {e, row, last - row < tile_rows ? last : row + tile_rows, of_expert / high * tile_columns};
}

}  // namespace moesaic::inline MOESAIC_ABI::cuda
