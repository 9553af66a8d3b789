// The grouped GEMM on mma.sync for many rows an expert: 64 rows by 128 weight rows a block, of one matrix or 64 of each of two, brought 32
// columns at a time (64 of E4M3 codes that stay codes) through registers, where they become what mma.sync reads, into one of two buffers
// while the other is multiplied.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include <moesaic/core/status.hpp>
#include <moesaic/cuda/gemm/arguments.hpp>
#include <moesaic/cuda/gemm/operands.hpp>
#include <moesaic/cuda/gemm/tile_list.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

/// Eight warps, two by four, of 32 rows by 32 weight rows each, the same columns of each of `Pieces` matrices. A stage holds four vectors of
/// 16 bytes a row, 32 columns or 64: the rows' terms one after another, then the weights, piece by piece; no two threads of a quarter warp
/// find theirs on the same banks.
template <class Rows, int Pieces = 1>
struct panel_tile {
  static constexpr int pieces = Pieces, weight_rows = 128;
  static constexpr int rows = 64, columns = weight_rows / pieces, threads = 256;
  static constexpr int wide = 4 / pieces;  // of a warp's eights of columns
  static constexpr int terms = row_operand<Rows>::terms;
  static constexpr int vectors = 4;
  static constexpr int row_vectors = rows * vectors, stage_vectors = terms * row_vectors + weight_rows * vectors;
  static constexpr int static_bytes = rows * 8, dynamic_bytes = 2 * stage_vectors * 16;
};

namespace detail {

/// What a thread carries from memory to a stage: a vector's columns of one row and of two weight rows.
template <class Products, class Tile, class Arguments>
struct panel_load {
  row_reader<typename row_operand<typename Arguments::row_type>::element> row_from;
  row_reader<weight_code_t<Arguments::format>> weight_from[2];
  typename Products::row_elements row;
  typename Products::weight_elements weight[2];

  __device__ panel_load(Arguments const& g, std::int64_t source, int expert, std::int64_t n)
      : row_from(read_row(g.a.rows, source)),
        weight_from{read_weights(g.piece(0), expert, n), read_weights(g.piece(Tile::pieces - 1), expert, n + Tile::columns - 64)} {}

  __device__ void load(int k) {
    constexpr int columns = Products::columns;
    row = row_from.template at<columns>(k);
    weight[0] = weight_from[0].template at<columns>(k);
    weight[1] = weight_from[1].template at<columns>(k);
  }
  /// Answers whether terms behind the first are not all zero.
  __device__ bool store(operand_vector* stage, int thread) const {
    static_assert(Products::terms == Tile::terms);
    operand_vector term[Tile::terms];
    bool const more = Products::split(row, term);
#pragma unroll
    for (int t = 0; t < Tile::terms; ++t) stage[t * Tile::row_vectors + thread] = term[t];
    operand_vector* const to = stage + Tile::terms * Tile::row_vectors;
    to[thread] = Products::weight(weight[0]);
    to[64 * Tile::vectors + thread] = Products::weight(weight[1]);
    return more;
  }
};

template <class Products, bool More, class Tile>
__device__ inline void multiply_stage(float (&block)[2][4][4], operand_vector const* stage, int row, int column, int quad) {
  operand_vector const* const weights = stage + Tile::terms * Tile::row_vectors;
  operand_vector w[4];
#pragma unroll
  for (int n = 0; n < 4; ++n) w[n] = weights[(n / Tile::wide * Tile::columns + column + n % Tile::wide * 8) * Tile::vectors + quad];
#pragma unroll
  for (int m = 0; m < 2; ++m) {
    operand_vector low[Tile::terms], high[Tile::terms];
#pragma unroll
    for (int t = 0; t < (More ? Tile::terms : 1); ++t) {
      low[t] = stage[t * Tile::row_vectors + (row + 16 * m) * Tile::vectors + quad];
      high[t] = stage[t * Tile::row_vectors + (row + 16 * m + 8) * Tile::vectors + quad];
    }
#pragma unroll
    for (int n = 0; n < 4; ++n) multiply_vectors<Products, More>(block[m][n], low, high, w[n]);
  }
}

}  // namespace detail

template <class Tile, class Arguments>
__global__ void __launch_bounds__(Tile::threads, 2) panel_gemm(Arguments const g) {
  using mma = products<typename Arguments::row_type, Arguments::format>;
  static_assert(Tile::pieces == Arguments::pieces);
  constexpr int depth = Tile::vectors * mma::columns;  // of a stage
  extern __shared__ __align__(16) unsigned char shared_memory[];
  ptx::follow_dependency();
  __shared__ std::int64_t source[Tile::rows];  // −1: no row
  auto* const stages = reinterpret_cast<operand_vector*>(shared_memory);
  tile_list const tiles = tile_list::make(reinterpret_cast<std::int32_t*>(shared_memory + Tile::dynamic_bytes), g.expert_offsets,
                                          g.out.rows, g.w.n, g.w.experts, Tile::rows, Tile::columns);
  int const thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  int const row = warp / 4 * 32 + lane / 4, column = warp % 4 * (8 * Tile::wide) + lane / 4, quad = lane % 4;  // quad: thread % 4 too
  int const chunks = static_cast<int>(ceil_div(g.w.k, depth));
  constexpr int chunks_of_block = scale_block / depth;

  for (std::int64_t t = tile_list::first(); t < tiles.count(); t += tile_list::stride()) {
    gemm_tile const at = tiles.at(t);
    if (thread < Tile::rows) source[thread] = at.row + thread < at.last ? g.a.source(at.row + thread) : -1;
    __syncthreads();
    float total[2][4][4] = {}, block[2][4][4] = {};
    float row_scales[2][2], weight_scales[Tile::pieces] = {};
    detail::panel_load<mma, Tile, Arguments> next(g, source[thread / 4], at.expert, at.column + thread / 4);
    next.load(mma::columns * quad);
    int more = __syncthreads_or(next.store(stages, thread) ? 1 : 0);
    for (int c = 0; c < chunks; ++c) {
      std::int64_t const b = c / chunks_of_block;
      if (c + 1 < chunks) next.load((c + 1) * depth + mma::columns * quad);
      if (c % chunks_of_block == 0) {
#pragma unroll
        for (int p = 0; p < Tile::pieces; ++p) weight_scales[p] = weight_scale(g.piece(p), at.expert, at.column, b);
#pragma unroll
        for (int m = 0; m < 2; ++m)
#pragma unroll
          for (int h = 0; h < 2; ++h) {
            std::int64_t const from = source[row + 16 * m + 8 * h];
            row_scales[m][h] = from >= 0 ? row_scale(g.a.rows, from, b) : 0.0F;
          }
      }
      operand_vector const* const stage = stages + c % 2 * Tile::stage_vectors;
      if (Tile::terms > 1 && more != 0)
        detail::multiply_stage<mma, true, Tile>(block, stage, row, column, quad);
      else
        detail::multiply_stage<mma, false, Tile>(block, stage, row, column, quad);
      if (c % chunks_of_block == chunks_of_block - 1 || c + 1 == chunks) {
#pragma unroll
        for (int m = 0; m < 2; ++m)
#pragma unroll
          for (int n = 0; n < 4; ++n)
#pragma unroll
            for (int i = 0; i < 4; ++i) {
              total[m][n][i] = fma(block[m][n][i], product(row_scales[m][i / 2], weight_scales[n / Tile::wide]), total[m][n][i]);
              block[m][n][i] = 0.0F;
            }
      }
      // The other stage was read before the barrier that ended the last turn.
      bool const behind_first = c + 1 < chunks && next.store(stages + (c + 1) % 2 * Tile::stage_vectors, thread);
      more = __syncthreads_or(behind_first ? 1 : 0);
    }

#pragma unroll
    for (int m = 0; m < 2; ++m)
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        std::int64_t const r = at.row + row + 16 * m + 8 * h;
        if (r >= at.last) continue;
        auto const store = g.row(r);
#pragma unroll
        for (int n = 0; n < Tile::wide; ++n) {
          float sum[Tile::pieces][2];
#pragma unroll
          for (int p = 0; p < Tile::pieces; ++p)
#pragma unroll
            for (int i = 0; i < 2; ++i) sum[p][i] = total[m][p * Tile::wide + n][2 * h + i];
          store(at.column + column - lane / 4 + 8 * n + 2 * quad, sum);
        }
      }
  }
}

#pragma GCC visibility push(hidden)  // see cuda/launch.hpp

template <class Arguments>
status launch_panel_gemm(cudaStream_t stream, int multiprocessors, Arguments const& g) {
  using tile = panel_tile<typename Arguments::row_type, Arguments::pieces>;
  return start_gemm<tile>(stream, multiprocessors, 2, panel_gemm<tile, Arguments>, g);
}

#pragma GCC visibility pop

}  // namespace moesaic::inline MOESAIC_ABI::cuda
