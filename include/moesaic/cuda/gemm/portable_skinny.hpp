// The grouped GEMM on mma.sync for few rows an expert: weights go from memory straight into registers, and each of a block's eight warps
// takes every eighth 128 columns of the same outputs, so that many bytes are on their way at once. The sums of 128 columns are then added
// in ascending order, as the panel kernel adds them: the same bits.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include <moesaic/core/status.hpp>
#include <moesaic/cuda/gemm/arguments.hpp>
#include <moesaic/cuda/gemm/operands.hpp>
#include <moesaic/cuda/gemm/quantizing_up.hpp>
#include <moesaic/cuda/gemm/tile_operands.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

/// High · 16 rows by Wide · 8 weight rows of each of `Pieces` matrices.
template <int High, int Wide, int Pieces = 1>
struct skinny_tile {
  static constexpr int high = High, wide = Wide, pieces = Pieces;
  static constexpr int rows = 16 * High, columns = 8 * Wide, threads = 256, warps = threads / 32;
  static constexpr int pitch = pieces * columns + 8;  // floats from row to row of the sums: rows of a fragment on different banks
  static constexpr int sum_floats = rows * pitch;
  static constexpr int static_bytes = rows * 12 + pieces * columns * 8 + warps * pieces * rows * 4 + 128,
                       dynamic_bytes = warps * sum_floats * 4;
  /// Columns that a thread adds up, all in one row, and where they begin. A thread too many has a row behind all.
  static constexpr int outputs = rows * columns < threads ? 1 : rows * columns / threads;
  MOESAIC_HD static constexpr int row_of(int thread) { return thread * outputs / columns < rows ? thread * outputs / columns : 1 << 30; }
  MOESAIC_HD static constexpr int column_of(int thread) { return thread * outputs % columns; }
  static constexpr int resident = rows * pieces * columns > 1024 ? 1 : 2;  // blocks on a multiprocessor
};

namespace detail {

/// sums += the products of columns [first, first + 128) of all k.
template <class Tile, class Arguments>
__device__ inline void skinny_block(float (&sums)[Tile::high][Tile::pieces * Tile::wide][4], tile_operands<Tile, Arguments> const& of,
                                    int k, int first, int lane) {
  using mma = products<typename Arguments::row_type, Arguments::format>;
  constexpr int wide = Tile::pieces * Tile::wide;
  constexpr int columns = mma::columns, width = 4 * columns, steps = scale_block / width;  // of a warp's vectors
  // Weights of so many steps are asked for at once, into 64 registers, or 32 where rows take more for their terms.
  constexpr int fit = (mma::terms > 1 ? 32 : 64) / (wide * mma::weight_elements::words), ahead = fit < steps ? fit : steps;
#pragma unroll
  for (int s0 = 0; s0 < steps; s0 += ahead) {
    int const at = first + s0 * width + lane % 4 * columns;
    typename mma::weight_elements weight[ahead][wide];
    weight_code_t<Arguments::format> const* from[wide];
    bool whole = k - at >= (ahead - 1) * width + columns;
#pragma unroll
    for (int n = 0; n < wide; ++n) {
      from[n] = of.weight[8 * n + lane / 4] + at;
      whole = whole && is_whole(from[n], weight[0][n]);
    }
    if (whole) {
#pragma unroll
      for (int n = 0; n < wide; ++n)
#pragma unroll
        for (int s = 0; s < ahead; ++s) load_whole(from[n] + s * width, weight[s][n]);
    } else {
#pragma unroll
      for (int n = 0; n < wide; ++n)
#pragma unroll
        for (int s = 0; s < ahead; ++s) load_ragged(from[n] + s * width, k - at - s * width, weight[s][n]);
    }
#pragma unroll
    for (int s = 0; s < ahead; ++s)
#pragma unroll
      for (int m = 0; m < Tile::high; ++m) {
        operand_vector low[mma::terms], high[mma::terms];
        typename mma::row_elements row;
        load_ragged(of.row[16 * m + lane / 4] + at + s * width, k - at - s * width, row);
        bool more = mma::split(row, low);
        load_ragged(of.row[16 * m + lane / 4 + 8] + at + s * width, k - at - s * width, row);
        more |= mma::split(row, high);
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
__global__ void __launch_bounds__(Tile::threads, Tile::resident) skinny_gemm(__grid_constant__ Arguments const g) {
  constexpr int pieces = Tile::pieces, wide = pieces * Tile::wide;
  extern __shared__ __align__(16) unsigned char shared_memory[];
  ptx::follow_dependency();
  __shared__ tile_operands<Tile, Arguments> of;
  __shared__ block_tiles<Tile> tiles;
  __shared__ float scales[Tile::warps][pieces * Tile::rows];
  static_assert(sizeof(of) + sizeof(tiles) + sizeof(scales) <= Tile::static_bytes);
  auto* const sums = reinterpret_cast<float*>(shared_memory);
  tiles.make(g, shared_memory + Tile::dynamic_bytes);
  int const k = static_cast<int>(g.w.k), blocks = static_cast<int>(ceil_div(g.w.k, scale_block));

  int index = static_cast<int>(blockIdx.x);
  for (group_tile tile; tiles.find(index, tile);) {
    of.fill(g, tiles, tile, index);
    __syncthreads();
    float total[pieces][Tile::outputs] = {};
    for (int first = 0; first < blocks; first += Tile::warps) {
      if (int const lane = ptx::thread_again() % 32, warp = ptx::thread_again() / 32; first + warp < blocks) {
        constexpr int each = static_cast<int>(ceil_div(pieces * Tile::rows, 32));
        float scale[each] = {};
#pragma unroll
        for (int i = 0; i < each; ++i)
          if (int const at = lane + 32 * i; at < pieces * Tile::rows)
            scale[i] = of.scale(g, at / Tile::rows, at % Tile::rows, first + warp);
        float block[Tile::high][wide][4] = {};
        detail::skinny_block(block, of, k, (first + warp) * scale_block, lane);
#pragma unroll
        for (int i = 0; i < each; ++i)
          if (int const at = lane + 32 * i; at < pieces * Tile::rows) scales[warp][at] = scale[i];
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
      __syncthreads();
      int const row = Tile::row_of(ptx::thread_again()), column = Tile::column_of(ptx::thread_again());
      if (row < of.tile.rows_left) {
#pragma unroll
        for (int w = 0; w < Tile::warps; ++w)
          if (first + w < blocks) {
            float const* const from = sums + w * Tile::sum_floats + row * Tile::pitch + column;
#pragma unroll
            for (int p = 0; p < pieces; ++p)
#pragma unroll
              for (int i = 0; i < Tile::outputs; ++i)
                total[p][i] = fma(from[p * Tile::columns + i], scales[w][p * Tile::rows + row], total[p][i]);
          }
      }
      __syncthreads();
    }
    int const row = Tile::row_of(ptx::thread_again()), column = Tile::column_of(ptx::thread_again());
    if (row < of.tile.rows_left) g.row(of.tile.row + row)(of.tile.n * Tile::columns + column, total);
    finish_tile(g, tiles, of.tile);
    index = of.next;
    __syncthreads();
  }
}

#pragma GCC visibility push(hidden)  // see cuda/launch.hpp

template <class Tile, class Arguments>
status launch_skinny_gemm(cudaStream_t stream, int multiprocessors, Arguments const& g) {
  return start_gemm<Tile>(stream, multiprocessors, Tile::resident, skinny_gemm<Tile, Arguments>, g);
}

#pragma GCC visibility pop

}  // namespace moesaic::inline MOESAIC_ABI::cuda
