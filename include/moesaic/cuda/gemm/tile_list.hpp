// The tiles of a grouped GEMM on the device: a block counts them once and then takes every gridDim.x-th.
#pragma once

#include <cstdint>

#include <moesaic/core/macros.hpp>
#include <moesaic/core/views.hpp>
#include <moesaic/cuda/gemm/tiles.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

/// Experts that a grid can walk: the list takes four bytes of shared memory for each.
inline constexpr int most_experts = 4096;

/// Bytes of shared memory of a list, a multiple of 16.
constexpr int tile_list_bytes(int experts) { return static_cast<int>(align_up((experts + 1) * 4, 16)); }

/// for (t = first(); t < count(); t += stride()) at(t) …
struct tile_list {
  std::int32_t const* first_tile;  // shared memory
  std::int32_t const* expert_offsets;
  std::int64_t rows, tiles_wide;
  int experts, tile_rows, tile_columns;

  /// Made by all threads of the block together. `memory`: shared, tile_list_bytes(experts).
  __device__ static tile_list make(std::int32_t* memory, std::int32_t const* expert_offsets, std::int64_t rows, std::int64_t columns,
                                   int experts, int tile_rows, int tile_columns) {
    for (int e = static_cast<int>(threadIdx.x); e < experts; e += static_cast<int>(blockDim.x))
      memory[e + 1] = tiles_high(expert_offsets, rows, e, tile_rows);
    if (threadIdx.x == 0) memory[0] = 0;
    __syncthreads();
    if (threadIdx.x < 32) add_up(memory + 1, experts, static_cast<int>(threadIdx.x));
    __syncthreads();
    return {memory, expert_offsets, rows, ceil_div(columns, tile_columns), experts, tile_rows, tile_columns};
  }

  __device__ static std::int64_t first() { return blockIdx.x; }
  __device__ static std::int64_t stride() { return gridDim.x; }
  __device__ std::int64_t count() const { return first_tile[experts] * tiles_wide; }
  __device__ gemm_tile at(std::int64_t t) const {
    return tile_at(t, first_tile, expert_offsets, rows, experts, tile_rows, tile_columns, tiles_wide);
  }

 private:
  /// Running sums in place, by one warp.
  __device__ static void add_up(std::int32_t* value, int n, int lane) {
    std::int32_t before = 0;
    for (int base = 0; base < n; base += 32) {
      std::int32_t v = base + lane < n ? value[base + lane] : 0;
      for (int step = 1; step < 32; step *= 2) {
        std::int32_t const left = __shfl_up_sync(~0U, v, static_cast<unsigned>(step));
        if (lane >= step) v += left;
      }
      if (base + lane < n) value[base + lane] = before + v;
      before += __shfl_sync(~0U, v, 31);
    }
  }
};

}  // namespace moesaic::inline MOESAIC_ABI::cuda
