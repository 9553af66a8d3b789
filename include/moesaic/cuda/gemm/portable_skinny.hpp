// The grouped GEMM on mma.sync for few rows an expert: weights go from memory straight into registers, and each of a block's eight warps
// takes every eighth 128 columns of the same outputs, so that many bytes are on their way at once. The sums of 128 columns are then added
// in ascending order, as the panel kernel adds them: the same bits.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include <moesaic/core/status.hpp>
#include <moesaic/cuda/gemm/arguments.hpp>
#include <moesaic/cuda/gemm/operands.hpp>
#include <moesaic/cuda/gemm/tile_list.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

/// High · 16 rows by Wide · 8 weight rows of each of `Pieces` matrices.
template <int High, int Wide, int Pieces = 1>
struct skinny_tile {
  static constexpr int high = High, wide = Wide, pieces = Pieces;
  static constexpr int rows = 16 * High, columns = 8 * Wide, threads = 256, warps = threads / 32;
  static constexpr int pitch = pieces * columns + 8;  // floats from row to row of the sums: rows of a fragment on different banks
  static constexpr int sum_floats = rows * pitch;
  static constexpr int static_bytes = rows * 8, dynamic_bytes = warps * sum_floats * 4;
  /// Columns that a thread adds up, all in one row.
  static constexpr int outputs = rows * columns < threads ? 1 : rows * columns / threads;
  static constexpr int threads_of_row = columns / outputs;
  static constexpr int resident = rows * pieces * columns > 1024 ? 1 : 2;  // blocks on a multiprocessor
};

namespace detail {

/// sums += the products of columns [first, first + 128) for the rows at `source` and the weight rows from `column` on.
template <class Tile, class Arguments>
__device__ inline void skinny_block(float (&sums)[Tile::high][Tile::pieces * Tile::wide][4], Arguments const& g, std::int64_t const* source,
                                    int expert, std::int64_t column, int first, int lane) {
  using mma = products<typename Arguments::row_type, Arguments::format>;
  constexpr int wide = Tile::pieces * Tile::wide;
  constexpr int columns = mma::columns, width = 4 * columns, steps = scale_block / width;  // of a warp's vectors
  constexpr int most = wide * sizeof(weight_code_t<Arguments::format>) <= 8 ? 128 : 64;    // columns whose weights are asked for at once
  constexpr int ahead = most / width;
  int const k = first + lane % 4 * columns;
#pragma unroll
  for (int s0 = 0; s0 < steps; s0 += ahead) {
    typename mma::weight_elements weight[ahead][wide];
#pragma unroll
    for (int n = 0; n < wide; ++n) {
      auto const from = read_weights(g.piece(n / Tile::wide), expert, column + 8 * (n % Tile::wide) + lane / 4);
#pragma unroll
      for (int s = 0; s < ahead; ++s) weight[s][n] = from.template at<columns>(k + (s0 + s) * width);
    }
#pragma unroll
    for (int s = 0; s < ahead; ++s)
#pragma unroll
      for (int m = 0; m < Tile::high; ++m) {
        operand_vector low[mma::terms], high[mma::terms];
        int const at = k + (s0 + s) * width;
        bool more = mma::split(read_row(g.a.rows, source[16 * m + lane / 4]).template at<columns>(at), low);
        more |= mma::split(read_row(g.a.rows, source[16 * m + lane / 4 + 8]).template at<columns>(at), high);
        if (mma::terms > 1 && __any_sync(~0U, more)) {
#pragma unroll
          for (int n = 0; n < wide; ++n) multiply_vectors<mma, true>(sums[m][n], low, high, mma::weight(weight[s][n]));
        } else {
#pragma unroll
          for (int n = 0; n < wide; ++n) multiply_vectors<mma, false>(sums[m][n], low, high, mma::weight(weight[s][n]));
        }
      }
  }
}

}  // namespace detail

template <class Tile, class Arguments>
__global__ void __launch_bounds__(Tile::threads, Tile::resident) skinny_gemm(Arguments const g) {
  constexpr int pieces = Tile::pieces, wide = pieces * Tile::wide;
  static_assert(pieces == Arguments::pieces);
  extern __shared__ __align__(16) unsigned char shared_memory[];
  ptx::follow_dependency();
  __shared__ std::int64_t source[Tile::rows];  // −1: no row
  auto* const sums = reinterpret_cast<float*>(shared_memory);
  tile_list const tiles = tile_list::make(reinterpret_cast<std::int32_t*>(shared_memory + Tile::dynamic_bytes), g.expert_offsets,
                                          g.out.rows, g.w.n, g.w.experts, Tile::rows, Tile::columns);
  int const thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  int const row = thread / Tile::threads_of_row, column = thread % Tile::threads_of_row * Tile::outputs;  // of what this thread adds up
  int const blocks = static_cast<int>(ceil_div(g.w.k, scale_block));

  for (std::int64_t t = tile_list::first(); t < tiles.count(); t += tile_list::stride()) {
    gemm_tile const at = tiles.at(t);
    if (thread < Tile::rows) source[thread] = at.row + thread < at.last ? g.a.source(at.row + thread) : -1;
    __syncthreads();
    bool const adds = row < Tile::rows && at.row + row < at.last;
    float total[pieces][Tile::outputs] = {};
    for (int first = 0; first < blocks; first += Tile::warps) {
      if (first + warp < blocks) {
        float block[Tile::high][wide][4] = {};
        detail::skinny_block<Tile>(block, g, source, at.expert, at.column, (first + warp) * scale_block, lane);
        float* const mine = sums + warp * Tile::sum_floats;
#pragma unroll
        for (int m = 0; m < Tile::high; ++m)
#pragma unroll
          for (int n = 0; n < wide; ++n)
#pragma unroll
            for (int h = 0; h < 2; ++h) {
              float2* const to = reinterpret_cast<float2*>(mine + (16 * m + 8 * h + lane / 4) * Tile::pitch + 8 * n + lane % 4 * 2);
              *to = make_float2(block[m][n][2 * h], block[m][n][2 * h + 1]);
            }
      }
      float scale[pieces][Tile::warps];
#pragma unroll
      for (int p = 0; p < pieces; ++p)
#pragma unroll
        for (int w = 0; w < Tile::warps; ++w)
          scale[p][w] = adds && first + w < blocks ? product(row_scale(g.a.rows, source[row], first + w),
                                                             weight_scale(g.piece(p), at.expert, at.column, first + w))
                                                   : 0.0F;
      __syncthreads();
      if (adds) {
#pragma unroll
        for (int w = 0; w < Tile::warps; ++w)
          if (first + w < blocks) {
            float const* const from = sums + w * Tile::sum_floats + row * Tile::pitch + column;
#pragma unroll
            for (int p = 0; p < pieces; ++p)
#pragma unroll
              for (int i = 0; i < Tile::outputs; ++i) total[p][i] = fma(from[p * Tile::columns + i], scale[p][w], total[p][i]);
          }
      }
      __syncthreads();
    }
    if (adds) g.row(at.row + row)(at.column + column, total);
  }
}

#pragma GCC visibility push(hidden)  // see cuda/launch.hpp

template <class Tile, class Arguments>
status launch_skinny_gemm(cudaStream_t stream, int multiprocessors, Arguments const& g) {
  return start_gemm<Tile>(stream, multiprocessors, Tile::resident, skinny_gemm<Tile, Arguments>, g);
}

#pragma GCC visibility pop

}  // namespace moesaic::inline MOESAIC_ABI::cuda
