// The grouped GEMM on mma.sync for many rows an expert: 64 rows by 128 weight rows a block, of one matrix or 64 of each of two, brought 32
// columns at a time (64 of E4M3 codes that stay codes) through registers, where they become what mma.sync reads, into one of two buffers
// while the other is multiplied.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include <moesaic/core/status.hpp>
#include <moesaic/cuda/gemm/arguments.hpp>
#include <moesaic/cuda/gemm/operands.hpp>
#include <moesaic/cuda/gemm/quantizing_up.hpp>
#include <moesaic/cuda/gemm/tile_operands.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

/// Eight warps, two by four, of 32 rows by 32 weight rows each, the same columns of each of `Pieces` matrices. A stage holds four vectors
/// of 16 bytes a row, 32 columns or 64: the rows' terms one after another, then the weights, piece by piece; no two threads of a quarter
/// warp find theirs on the same banks.
template <class Rows, int Pieces = 1>
struct panel_tile {
  static constexpr int pieces = Pieces, weight_rows = 128;
  static constexpr int rows = 64, columns = weight_rows / pieces, threads = 256;
  static constexpr int wide = 4 / pieces;  // of a warp's eights of columns
  static constexpr int terms = row_operand<Rows>::terms;
  static constexpr int vectors = 4, scales = pieces * rows;
  static constexpr int row_words = rows * vectors, weight_words = weight_rows * vectors;  // one of each vector
  static constexpr int stage_words = 4 * (terms * row_words + weight_words);
  static constexpr int static_bytes = rows * 12 + weight_rows * 8 + 2 * scales * 4 + 128, dynamic_bytes = 2 * stage_words * 4;

  /// The first row and column of a thread's sums: those of mma.sync, of 32 rows and 8 · wide columns of the tile.
  MOESAIC_HD static constexpr int row_of(int thread) { return thread / 128 * 32 + thread % 32 / 4; }
  MOESAIC_HD static constexpr int column_of(int thread) { return thread / 32 % 4 * (8 * wide) + thread % 4 * 2; }

  /// Where in a stage a thread's ldmatrix reads: of 16 rows rows g, rows g + 8, then the next word of both …
  MOESAIC_HD static constexpr int rows_at(int thread) { return (thread / 16 % 2 * rows + thread / 128 * 32 + thread % 16) * vectors; }
  /// … and of 16 weight rows weight rows g, the next word of them, then the other eight.
  MOESAIC_HD static constexpr int weights_at(int thread) {
    int const column = thread / 32 % 4 * (8 * wide) + thread / 16 % 2 * 8 + thread % 8;
    return terms * 4 * row_words + (thread / 8 % 2 * weight_rows + column) * vectors;
  }
};

namespace detail {

/// What a thread carries from memory to a stage: a vector's columns of one row and of two weight rows.
template <class Products, class Tile>
struct panel_load {
  typename Products::row_elements row;
  typename Products::weight_elements weight[2];

  /// From column k on, zeros from column `columns` on.
  template <class Operands>
  __device__ void load(Operands const& from, int r, int k, int columns) {
    int const left = columns - k;
    auto const* const x = from.row[r] + k;
    auto const *const w0 = from.weight[r] + k, *const w1 = from.weight[r + 64] + k;
    if (left >= Products::columns && is_whole(x, row) && is_whole(w0, weight[0]) && is_whole(w1, weight[1])) {
      load_whole(x, row);
      load_whole(w0, weight[0]);
      load_whole(w1, weight[1]);
    } else {
      load_ragged(x, left, row);
      load_ragged(w0, left, weight[0]);
      load_ragged(w1, left, weight[1]);
    }
  }
  /// Answers whether terms behind the first are not all zero.
  __device__ bool store(std::uint32_t* stage, int thread) const {
    static_assert(Products::terms == Tile::terms);
    operand_vector term[Tile::terms];
    bool const more = Products::split(row, term);
#pragma unroll
    for (int t = 0; t < Tile::terms; ++t) store_words<Tile::row_words>(stage + t * 4 * Tile::row_words + thread, term[t]);
    std::uint32_t* const to = stage + Tile::terms * 4 * Tile::row_words + thread;
    store_words<Tile::weight_words>(to, Products::weight(weight[0]));
    store_words<Tile::weight_words>(to + 64 * Tile::vectors, Products::weight(weight[1]));
    return more;
  }

 private:
  template <int Apart>
  __device__ static void store_words(std::uint32_t* to, operand_vector const& v) {
    to[0] = v.x, to[Apart] = v.y, to[2 * Apart] = v.z, to[3 * Apart] = v.w;
  }
};

/// `rows`, `weights`: where in the stage this thread reads, see panel_tile::rows_at. A step and a term at a time: for more there are not
/// enough registers.
template <class Products, bool More, class Tile>
__device__ inline void multiply_stage(float (&block)[2][4][4], std::uint32_t const* rows, std::uint32_t const* weights) {
#pragma unroll 1
  for (int step = 0; step < 2; ++step, rows += 2 * Tile::row_words, weights += 2 * Tile::weight_words) {
    std::uint32_t w[2][4];
#pragma unroll
    for (int n = 0; n < 4; n += 2)
      ptx::ldmatrix_x4(w[n / 2], weights + (n / Tile::wide * Tile::columns + n % Tile::wide * 8) * Tile::vectors);
#pragma unroll
    for (int m = 0; m < 2; ++m) {
      float sum[4][4] = {};
#pragma unroll 1
      for (int t = More ? Tile::terms - 1 : 0; t >= 0; --t) {
        std::uint32_t a[4];
        ptx::ldmatrix_x4(a, rows + 4 * t * Tile::row_words + 16 * m * Tile::vectors);
#pragma unroll
        for (int n = 0; n < 4; ++n) Products::step(sum[n], a, {w[n / 2][n % 2 * 2], w[n / 2][n % 2 * 2 + 1]});
      }
#pragma unroll
      for (int n = 0; n < 4; ++n) add_step(block[m][n], sum[n]);
    }
  }
}

}  // namespace detail

template <class Tile, class Arguments>
__global__ void __launch_bounds__(Tile::threads, 2) panel_gemm(__grid_constant__ Arguments const g) {
  using mma = products<typename Arguments::row_type, Arguments::format>;
  using operands = tile_operands<Tile, Arguments>;
  constexpr int depth = Tile::vectors * mma::columns, chunks_of_block = scale_block / depth;  // columns of a stage
  extern __shared__ __align__(16) unsigned char shared_memory[];
  ptx::follow_dependency();
  __shared__ operands of;
  __shared__ block_tiles<Tile> tiles;
  __shared__ float scales[2][Tile::scales];  // of every other 128 columns
  static_assert(sizeof(of) + sizeof(tiles) + sizeof(scales) <= Tile::static_bytes);
  auto* const stages = reinterpret_cast<std::uint32_t*>(shared_memory);
  tiles.make(g, shared_memory + Tile::dynamic_bytes);
  int const k = static_cast<int>(g.w.k);

  int index = static_cast<int>(blockIdx.x);
  for (group_tile tile; tiles.find(index, tile);) {
    of.fill(g, tiles, tile, index);
    __syncthreads();
    float total[2][4][4] = {}, block[2][4][4] = {};
    detail::panel_load<mma, Tile> next;
    int more = 0;
    // A turn brings columns from `ahead` on and multiplies those before them, which the last turn has stored in stage c.
#pragma unroll 1
    for (int ahead = 0; ahead - depth < k; ahead += depth) {
      int const c = ahead / depth - 1;
      float scale = 0.0F;
      if (ahead < k) {
        int const thread = ptx::thread_again();
        next.load(of, thread / 4, ahead + thread % 4 * mma::columns, k);
        if (Tile::terms == 1 && ahead % scale_block == 0 && thread < Tile::scales)
          scale = of.scale(g, thread / Tile::rows, thread % Tile::rows, ahead / scale_block);
      }
      if (c >= 0) {
        std::uint32_t const* const stage = stages + c % 2 * Tile::stage_words;
        int const thread = ptx::thread_again();
        std::uint32_t const* const rows = stage + Tile::rows_at(thread);
        std::uint32_t const* const weights = stage + Tile::weights_at(thread);
        if (Tile::terms > 1 && more != 0)
          detail::multiply_stage<mma, true, Tile>(block, rows, weights);
        else
          detail::multiply_stage<mma, false, Tile>(block, rows, weights);
        if (ahead % scale_block == 0 || ahead >= k) {
          float const* const of_row = scales[c / chunks_of_block % 2] + Tile::row_of(ptx::thread_again());
#pragma unroll
          for (int m = 0; m < 2; ++m)
#pragma unroll
            for (int n = 0; n < 4; ++n)
#pragma unroll
              for (int i = 0; i < 4; ++i) {
                total[m][n][i] = fma(block[m][n][i], of_row[n / Tile::wide * Tile::rows + 16 * m + i / 2 * 8], total[m][n][i]);
                block[m][n][i] = 0.0F;
              }
        }
      }
      // The other stage was read before the barrier that ended the last turn.
      bool behind_first = false;
      if (ahead < k) {
        int const thread = ptx::thread_again();
        behind_first = next.store(stages + (c + 1) % 2 * Tile::stage_words, thread);
        if (ahead % scale_block == 0 && thread < Tile::scales)  // with several terms there is no register to have it early
          scales[ahead / scale_block % 2][thread] =
              Tile::terms == 1 ? scale : of.scale(g, thread / Tile::rows, thread % Tile::rows, ahead / scale_block);
      }
      more = __syncthreads_or(behind_first ? 1 : 0);
    }

    int const row = Tile::row_of(ptx::thread_again()), column = of.tile.n * Tile::columns + Tile::column_of(ptx::thread_again());
#pragma unroll
    for (int m = 0; m < 2; ++m)
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        int const r = row + 16 * m + 8 * h;
        if (r >= of.tile.rows_left) continue;
        auto const store = g.row(of.tile.row + r);
#pragma unroll
        for (int n = 0; n < Tile::wide; ++n) {
          float sum[Tile::pieces][2];
#pragma unroll
          for (int p = 0; p < Tile::pieces; ++p)
#pragma unroll
            for (int i = 0; i < 2; ++i) sum[p][i] = total[m][p * Tile::wide + n][2 * h + i];
          store(column + 8 * n, sum);
        }
      }
    finish_tile(g, tiles, of.tile);
    index = of.next;
    __syncthreads();
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
