// What every kernel of the grouped GEMM is given, what becomes of its sums, and how it is launched.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include <moesaic/core/status.hpp>
#include <moesaic/cuda/gemm/count_tiles.hpp>
#include <moesaic/cuda/gemm/tile_walk.hpp>
#include <moesaic/cuda/launch.hpp>
#include <moesaic/semantics/activation.hpp>
#include <moesaic/semantics/gemm.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

/// out.row(r) = a.row(source of r) · W_eᵀ; null expert_offsets give all rows of `out` to expert 0. With shared_rows > 0 the first rows of
/// `out` are those rows of a times `shared`, and all others begin that much later, in a too, unless that is gathered through row_to_slot.
template <class Rows, weight_format F>
struct gemm_arguments {
  using row_type = Rows;
  static constexpr weight_format format = F;
  static constexpr int pieces = 1;  // matrices of which a tile has the same columns

  gemm_input<Rows> a;
  weight_matrices<F> w;
  std::int32_t const* expert_offsets;
  matrix_view<float> out;
  weight_matrices<F> shared{};
  std::int64_t shared_rows = 0;

  __device__ weight_matrices<F> const& weights(int, bool of_shared) const { return of_shared ? shared : w; }

  /// What becomes of the sums of a row: store(column, the sums of Count columns from there on).
  struct row_store {
    float* to;
    std::int64_t columns;

    template <int Count>
    __device__ void operator()(std::int64_t column, float const (&sum)[pieces][Count]) const {
#pragma unroll
      for (int i = 0; i < Count; ++i)
        if (column + i < columns) to[column + i] = sum[0][i];
    }
  };
  __device__ row_store row(std::int64_t r) const { return {out.row(r), w.n}; }
};

/// The step up: out.row(r) = the activation of the same with gate and with w, up's weights, rounded to Format; an activation without gate
/// has no gate. With shared_rows the rule must not depend on the row.
template <activation_format Format, class Rows, weight_format F, activation_fn A, class Terms>
struct up_arguments {
  using row_type = Rows;
  static constexpr weight_format format = F;
  static constexpr int pieces = is_gated(A) ? 2 : 1;

  gemm_input<Rows> a;
  weight_matrices<F> gate, w;
  std::int32_t const* expert_offsets;
  matrix_view<float> out;
  activation_rule<A, Terms> rule;
  weight_matrices<F> shared_gate{}, shared{};
  std::int64_t shared_rows = 0;

  __device__ weight_matrices<F> const& weights(int piece, bool of_shared) const {
    if (piece + 1 == pieces) return of_shared ? shared : w;
    return of_shared ? shared_gate : gate;
  }

  struct row_store {
    float* to;
    std::int64_t columns;
    typename activation_rule<A, Terms>::row_rule value;

    template <int Count>
    __device__ void operator()(std::int64_t column, float const (&sum)[pieces][Count]) const {
#pragma unroll
      for (int i = 0; i < Count; ++i)
        if (column + i < columns) to[column + i] = round_to<Format>(value(sum[0], sum[pieces - 1], i, column + i));
    }
  };
  __device__ row_store row(std::int64_t r) const { return {out.row(r), w.n, rule.of_row(r, w.n)}; }
};

/// *w, or none where it is null.
template <weight_format F>
weight_matrices<F> given_or_none(weight_matrices<F> const* w) {
  return w != nullptr ? *w : weight_matrices<F>{};
}

/// The row of a that row r of `out` is made of.
template <class Arguments>
__device__ inline std::int64_t source_of(Arguments const& g, std::int64_t r) {
  return r < g.shared_rows || g.a.row_to_slot == nullptr ? r : g.a.source(r - g.shared_rows);
}

/// Experts that a grid can walk: the schedule takes four bytes of shared memory for each.
inline constexpr int most_experts = 4096;

/// The groups of g's rows, in tiles of Tile::columns columns.
template <class Tile, class Arguments>
MOESAIC_HD tile_groups groups_of(Arguments const& g) {
  return {g.expert_offsets, static_cast<std::int32_t>(g.out.rows), static_cast<std::int32_t>(g.shared_rows), g.w.experts,
          static_cast<int>(ceil_div(g.w.n, Tile::columns))};
}

/// The tiles of a grouped GEMM, each of Tile::rows by Tile::columns, as a block finds them: in shared memory, so that nothing of it stays
/// in registers. Down the rows of a group first: blocks that run at the same time then share the weights of a column of tiles.
template <class Tile>
struct block_tiles {
  tile_groups groups;
  std::int32_t const* starts;

  /// Bytes of shared memory of the schedule, a multiple of 16.
  static constexpr int schedule_bytes(int groups) { return static_cast<int>(align_up((groups + 1 + Tile::threads / 32) * 4, 16)); }

  /// By all threads of the block; ends with a barrier. `schedule`: schedule_bytes(groups).
  template <class Arguments>
  __device__ void make(Arguments const& g, unsigned char* schedule) {
    tile_groups const of = groups_of<Tile>(g);
    auto* const to = reinterpret_cast<std::int32_t*>(schedule);
    if (threadIdx.x == 0) groups = of, starts = to;
    count_tiles<Tile::threads>([&](int group) { return of.first_row(group); }, of.count(), Tile::rows, of.n_tiles, to, nullptr,
                               to + of.count() + 1);
  }
  /// Whether there is a tile of this number; if so, which.
  __device__ bool find(int index, group_tile& tile) const {
    tile_walk walk{starts, groups.count(), index, 1};
    if (!walk.find()) return false;
    tile = tile_of(groups, walk, Tile::rows, 1);
    return true;
  }
};

#pragma GCC visibility push(hidden)  // see cuda/launch.hpp

/// Enqueues a kernel that walks tiles and begins with ptx::follow_dependency: as many blocks as the device holds at once, or as there can
/// be tiles where those are fewer. Tile: rows, columns, threads, static_bytes and dynamic_bytes of shared memory; the schedule comes behind
/// the latter.
template <class Tile, class Arguments>
status start_gemm(cudaStream_t stream, int multiprocessors, int blocks_each, void (*kernel)(Arguments), Arguments const& g) {
  if (g.w.experts > most_experts) return {errc::out_of_range, "w", "experts", g.w.experts, most_experts};
  std::int64_t const n_tiles = ceil_div(g.w.n, Tile::columns);
  std::int64_t const tiles =
      most_tiles(g.out.rows - g.shared_rows, g.w.experts, Tile::rows, n_tiles) + ceil_div(g.shared_rows, Tile::rows) * n_tiles;
  std::int64_t const blocks = std::int64_t{multiprocessors} * blocks_each;
  if (tiles <= 0) return {};
  constexpr std::int64_t most = 0x7fff'ffff;  // a tile's number, and a row's
  if (g.out.rows > most || tiles > most - blocks) return {errc::out_of_range, "out", "rows", g.out.rows, most};
  int const bytes = Tile::dynamic_bytes + block_tiles<Tile>::schedule_bytes(groups_of<Tile>(g).count());
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
