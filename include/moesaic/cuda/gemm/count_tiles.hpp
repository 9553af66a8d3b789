// How a block learns which tiles there are: it counts those of all groups, so that no list is written and nothing comes back to the host.
#pragma once

#include <cstdint>
#include <type_traits>

#include <moesaic/cuda/gemm/tile_walk.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

/// Fills `starts` and `offsets` [groups + 1] in shared memory; all `Threads` threads of the block call it, and it ends with a barrier.
/// first_row(g), for g from 0 to `groups`: where group g's rows begin, which is what `offsets` keeps: nullptr where there is no room.
/// `of_warp` is scratch in shared memory, one number a warp.
template <int Threads, class FirstRow, class Offsets>
__device__ inline void count_tiles(FirstRow const& first_row, int groups, int tile_rows, int n_tiles, std::int32_t* starts,
                                   [[maybe_unused]] Offsets offsets, std::int32_t* of_warp) {
  constexpr int warps = Threads / 32;
  int const lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  std::int32_t before = 0;
  for (int base = 0; base < groups; base += Threads) {
    int const e = base + static_cast<int>(threadIdx.x);
    std::int32_t first = 0, last = 0;
    if (e < groups) {
      first = first_row(e);
      last = first_row(e + 1);
      if constexpr (!std::is_null_pointer_v<Offsets>) {
        offsets[e] = first;
        if (e == groups - 1) offsets[groups] = last;
      }
    }
    std::int32_t const own = tiles_of(last - first, tile_rows, n_tiles);
    std::int32_t sum = own;
#pragma unroll
    for (int d = 1; d < 32; d *= 2) {
      std::int32_t const other = __shfl_up_sync(0xffffffffU, sum, static_cast<unsigned>(d));
      if (lane >= d) sum += other;
    }
    if (lane == 31) of_warp[warp] = sum;
    __syncthreads();
    std::int32_t ahead = before, all = before;
    for (int w = 0; w < warps; ++w) {
      if (w < warp) ahead += of_warp[w];
      all += of_warp[w];
    }
    if (e < groups) starts[e] = ahead + sum - own;
    before = all;
    __syncthreads();
  }
  if (threadIdx.x == 0) starts[groups] = before;
  __syncthreads();
}

}  // namespace moesaic::inline MOESAIC_ABI::cuda
