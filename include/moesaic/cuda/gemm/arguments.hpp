// What every kernel of the grouped GEMM is given, what becomes of its sums, and how it is launched.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include <moesaic/core/status.hpp>
#include <moesaic/cuda/gemm/tile_list.hpp>
#include <moesaic/cuda/launch.hpp>
#include <moesaic/semantics/activation.hpp>
#include <moesaic/semantics/gemm.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

/// out.row(r) = a.row(source of r) · W_eᵀ; null expert_offsets give all rows of `out` to expert 0.
template <class Rows, weight_format F>
struct gemm_arguments {
  using row_type = Rows;
  static constexpr weight_format format = F;
  static constexpr int pieces = 1;  // matrices of which a tile has the same columns

  gemm_input<Rows> a;
  weight_matrices<F> w;
  std::int32_t const* expert_offsets;
  matrix_view<float> out;

  __device__ weight_matrices<F> const& piece(int) const { return w; }

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
/// has no gate.
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

  /// Of w's shape, which is gate's, so that what depends on it is reckoned once.
  __device__ weight_matrices<F> piece(int p) const {
    if (p + 1 == pieces) return w;
    return {w.experts, w.n, w.k, gate.codes, gate.scales, gate.row_stride};
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

#pragma GCC visibility push(hidden)  // see cuda/launch.hpp

/// Enqueues a kernel that walks tiles and begins with ptx::follow_dependency: as many blocks as the device holds at once, or as there can
/// be tiles where those are fewer. Tile: rows, columns, threads, static_bytes and dynamic_bytes of shared memory; the list of tiles comes
/// behind the latter.
template <class Tile, class Arguments>
status start_gemm(cudaStream_t stream, int multiprocessors, int blocks_each, void (*kernel)(Arguments), Arguments const& g) {
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
