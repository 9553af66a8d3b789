// What the two Hopper GEMMs have in common: their arguments, and a CTA that walks tiles and has a ring of stages with barriers.
#pragma once

#include <cstdint>
#include <type_traits>

#include <moesaic/cuda/gemm/count_tiles.hpp>
#include <moesaic/cuda/gemm/sm90/operands.hpp>
#include <moesaic/cuda/gemm/sm90/row_gather.hpp>
#include <moesaic/cuda/gemm/sm90/tile.hpp>
#include <moesaic/cuda/gemm/tile_walk.hpp>
#include <moesaic/cuda/ptx/mbarrier.hpp>
#include <moesaic/cuda/ptx/tma.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::sm90 {

/// out rows [offsets[e], offsets[e+1]) = the same rows of x · W_eᵀ for every expert; null offsets give all rows to one. With shared_rows >
/// 0 the first rows of x are the shared expert's, and all others' begin that much later. With an epilogue of two matrices each tile takes
/// 128 columns of both. tiles.n_tiles · (columns of a tile) = n. Rows: row_operand, or gathered_rows.
template <class Epilogue, class Rows = row_operand>
struct gemm_arguments {
  static constexpr bool gathers = std::is_same_v<Rows, gathered_rows>;
  Rows x;
  weight_operand w[Epilogue::matrices];
  weight_operand shared[Epilogue::matrices];
  tile_groups tiles;
  int k_blocks;
  bool reads_early;  ///< expert_offsets and weights may be read while the kernel ahead still runs: it is not what writes them
  Epilogue epilogue;

  __device__ weight_operand const& weights(int matrix, int group) const { return group < tiles.ahead() ? shared[matrix] : w[matrix]; }
};

namespace detail {

/// Gatherers: warps of the producer that bring rows, if it gathers.
template <class Tile, class Epilogue, class Rows, int Gatherers>
struct persistent_cta {
  static constexpr bool gathers = gemm_arguments<Epilogue, Rows>::gathers;
  static constexpr int tile_columns = Epilogue::matrices == 2 ? scale_block : Tile::columns;  // of the output

  gemm_arguments<Epilogue, Rows> const& p;
  char* shared;
  std::uint64_t* full;   // [stages]: a stage's copies have come
  std::uint64_t* empty;  // [stages]: the math warps have read it
  std::int32_t const* starts;
  std::int32_t const* offsets;  // [groups + 1], see count_tiles

  /// All threads call it: barriers and the schedule are ready when it returns. Reads expert_offsets.
  __device__ static persistent_cta begin(gemm_arguments<Epilogue, Rows> const& p, char* shared) {
    auto* const full = reinterpret_cast<std::uint64_t*>(shared + Tile::barriers_at);
    auto* const empty = full + Tile::stages;
    auto* const starts = reinterpret_cast<std::int32_t*>(shared + Tile::schedule_at);
    auto* const offsets = starts + p.tiles.count() + 1;
    if (threadIdx.x == 0) {
      if constexpr (!gathers) {
        ptx::prefetch_tensor_map(&p.x.codes);
        ptx::prefetch_tensor_map(&p.x.scales);
      }
      for (int s = 0; s < Tile::stages; ++s) {
        ptx::mbarrier_init(full + s, 1 + (gathers ? Gatherers : 0));
        ptx::mbarrier_init(empty + s, math_warpgroups * 4);
      }
      ptx::fence_mbarrier_init();
    }
    count_tiles<Tile::threads>([&](int g) { return p.tiles.first_row(g); }, p.tiles.count(), Tile::rows, p.tiles.n_tiles, starts, offsets,
                               reinterpret_cast<std::int32_t*>(shared + Tile::staging_at));
    return {p, shared, full, empty, starts, offsets};
  }

  /// Rows from `row` on, of which `rows_left` are the group's, and columns from n0 on.
  struct tile {
    int group, n0, row, rows_left;
  };

  /// Where the scale of a tile's first row is in its stage.
  __device__ static int first_scale(tile const& t) { return gathers ? 0 : t.row % scale_slack; }

  __device__ tile_walk walk() const { return {starts, p.tiles.count(), static_cast<int>(blockIdx.x), static_cast<int>(gridDim.x)}; }
  __device__ tile at(tile_walk const& w) const {
    int const first = offsets[w.group], count = offsets[w.group + 1] - first;
    tile_place const place = place_of(w.local(), (count + Tile::rows - 1) / Tile::rows, p.tiles.n_tiles, Tile::strip);
    int const m0 = place.m * Tile::rows;
    return {w.group, place.n * tile_columns, first + m0, count - m0};
  }
};

}  // namespace detail

}  // namespace moesaic::inline MOESAIC_ABI::cuda::sm90
