// The grouped GEMM in fp32 fma, for every format and shape: semantics/gemm.hpp's order and so its bits and its error. What no tensor core
// does exactly, fp32 weights, is multiplied here; the faster kernels are held to it.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include <moesaic/core/status.hpp>
#include <moesaic/cuda/gemm/arguments.hpp>
#include <moesaic/cuda/gemm/tile_walk.hpp>
#include <moesaic/cuda/launch.hpp>
#include <moesaic/semantics/gemm.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

/// 64 × 64 outputs a block, 4 × 4 a thread.
struct fma_tile {
  static constexpr int rows = 64, columns = 64, depth = 32, threads = 256;
  static constexpr int pitch = 68;  // 64 and what keeps rows of 16 bytes on different banks
  static constexpr int static_bytes = 2 * depth * pitch * 4 + 64, dynamic_bytes = 0;
};

template <class Rows, weight_format F>
__global__ void __launch_bounds__(fma_tile::threads) fma_gemm(__grid_constant__ gemm_arguments<Rows, F> const g) {
  using tile = fma_tile;
  extern __shared__ __align__(16) unsigned char shared_memory[];
  ptx::follow_dependency();
  __shared__ __align__(16) float a[tile::depth][tile::pitch];
  __shared__ __align__(16) float w[tile::depth][tile::pitch];
  __shared__ block_tiles<tile> tiles;
  tiles.make(g, shared_memory);
  int const thread = static_cast<int>(threadIdx.x), ty = thread / 16 * 4, tx = thread % 16 * 4;

  group_tile at;
  for (int index = static_cast<int>(blockIdx.x); tiles.find(index, at); index += static_cast<int>(gridDim.x)) {
    weight_matrices<F> const& matrices = g.weights(0, at.group < tiles.groups.ahead());
    int const expert = tiles.groups.expert(at.group), last = at.row + at.rows_left, column = at.n * tile::columns;
    // A thread brings column `thread % 32` of eight rows and of eight weight rows. Rows outside the matrices are zeros.
    int const depth = thread % 32, first = thread / 32;
    std::int64_t source[8];
    for (int i = 0; i < 8; ++i) {
      std::int64_t const row = at.row + first + i * 8;
      source[i] = row < last ? source_of(g, row) : -1;
    }
    float total[4][4] = {}, block[4][4] = {};
    for (std::int64_t k0 = 0; k0 < g.w.k; k0 += tile::depth) {
      std::int64_t const k = k0 + depth;
      for (int i = 0; i < 8; ++i) {
        std::int64_t const n = column + first + i * 8;
        a[depth][first + i * 8] = source[i] >= 0 && k < g.w.k ? row_value(g.a.rows, source[i], k) : 0.0F;
        w[depth][first + i * 8] = n < g.w.n && k < g.w.k ? weight_value<F>(matrices.row(expert, n)[k]) : 0.0F;
      }
      __syncthreads();
      int const steps = static_cast<int>(g.w.k - k0 < tile::depth ? g.w.k - k0 : tile::depth);
      for (int s = 0; s < steps; ++s) {
        float4 const x = *reinterpret_cast<float4 const*>(&a[s][ty]), y = *reinterpret_cast<float4 const*>(&w[s][tx]);
        float const left[4] = {x.x, x.y, x.z, x.w}, right[4] = {y.x, y.y, y.z, y.w};
        for (int i = 0; i < 4; ++i)
          for (int j = 0; j < 4; ++j) block[i][j] = fma(left[i], right[j], block[i][j]);
      }
      __syncthreads();
      if ((k0 + tile::depth) % scale_block == 0 || k0 + tile::depth >= g.w.k) {
        std::int64_t const b = k0 / scale_block;
        for (int i = 0; i < 4; ++i) {
          std::int64_t const row = at.row + ty + i;
          float const scale = row < last ? row_scale(g.a.rows, source_of(g, row), b) : 0.0F;
          for (int j = 0; j < 4; ++j) {
            std::int64_t const n = column + tx + j;
            if (row < last && n < g.w.n) total[i][j] = fma(block[i][j], product(scale, weight_scale(matrices, expert, n, b)), total[i][j]);
            block[i][j] = 0.0F;
          }
        }
      }
    }
    for (int i = 0; i < 4; ++i)
      for (int j = 0; j < 4; ++j)
        if (at.row + ty + i < last && column + tx + j < g.w.n) g.out(at.row + ty + i, column + tx + j) = total[i][j];
  }
}

#pragma GCC visibility push(hidden)  // see cuda/launch.hpp

template <class Rows, weight_format F>
status launch_fma_gemm(cudaStream_t stream, int multiprocessors, gemm_arguments<Rows, F> const& g) {
  return start_gemm<fma_tile>(stream, multiprocessors, 2, fma_gemm<Rows, F>, g);
}

#pragma GCC visibility pop

}  // namespace moesaic::inline MOESAIC_ABI::cuda
