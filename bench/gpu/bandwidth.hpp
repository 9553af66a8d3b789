// How fast this card reads, writes and copies memory that no cache holds: the denominators of everything that is bound by bytes.
// Every reading kernel also says what it read: the exclusive or of all words, which the caller compares with what was written.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "device.hpp"

namespace gpu {

__device__ inline uint4 load_streaming(uint4 const* p) {
  uint4 v;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
  return v;
}
__device__ inline void store_streaming(uint4* p, uint4 v) {
  asm volatile("st.global.L1::no_allocate.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(p), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory");
}
__device__ inline std::uint64_t folded(uint4 v) { return (static_cast<std::uint64_t>(v.y ^ v.w) << 32) | (v.x ^ v.z); }
__device__ inline void fold_warp(std::uint64_t mine, unsigned long long* sum) {
  for (int lanes = 16; lanes > 0; lanes /= 2) mine ^= __shfl_xor_sync(0xFFFFFFFFU, mine, lanes);
  if (threadIdx.x % 32 == 0) atomicXor(sum, mine);
}

/// Tiles of blockDim.x * Loads vectors, one after the other from blockIdx.x in steps of gridDim.x; `tiles` of them fill the buffer exactly.
/// The bounds leave registers for all loads to be in flight at once: told nothing, ptxas takes 32 and waits in between.
template <int Loads>
__global__ void __launch_bounds__(512, Loads > 8 ? 1 : 2) read_tiles(uint4 const* from, std::int64_t tiles, unsigned long long* sum) {
  std::uint64_t mine = 0;
  for (std::int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    uint4 const* const p = from + tile * (std::int64_t{blockDim.x} * Loads) + threadIdx.x;
    uint4 v[Loads];
#pragma unroll
    for (int l = 0; l < Loads; ++l) v[l] = load_streaming(p + l * static_cast<int>(blockDim.x));
#pragma unroll
    for (int l = 0; l < Loads; ++l) mine ^= folded(v[l]);
  }
  fold_warp(mine, sum);
}

template <int Loads>
__global__ void write_tiles(uint4* to, std::int64_t tiles, std::uint32_t word) {
  for (std::int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    uint4* const p = to + tile * (std::int64_t{blockDim.x} * Loads) + threadIdx.x;
    std::uint32_t const w = word ^ (static_cast<std::uint32_t>(tile) * 0x9E3779B1U) ^ (threadIdx.x * 0x85EBCA77U);
#pragma unroll
    for (int l = 0; l < Loads; ++l) store_streaming(p + l * static_cast<int>(blockDim.x), uint4{w, ~w, w * 3U, w ^ 0x5A5A5A5AU});
  }
}

template <int Loads>
__global__ void __launch_bounds__(512, Loads > 8 ? 1 : 2) copy_tiles(uint4 const* from, uint4* to, std::int64_t tiles) {
  for (std::int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    std::int64_t const at = tile * (std::int64_t{blockDim.x} * Loads) + threadIdx.x;
    uint4 v[Loads];
#pragma unroll
    for (int l = 0; l < Loads; ++l) v[l] = load_streaming(from + at + l * static_cast<int>(blockDim.x));
#pragma unroll
    for (int l = 0; l < Loads; ++l) store_streaming(to + at + l * static_cast<int>(blockDim.x), v[l]);
  }
}

/// The read stream of a GEMM: one thread a block keeps `stages` bulk copies of `bytes` bytes in flight into shared memory and waits for
/// nothing else. Chunk c is read by block c % gridDim.x, or, where `contiguous`, each block reads one run of chunks. The sum folds the
/// first word of every chunk only: shared memory is not read beyond it.
/// Shared memory: stages * bytes, then stages barriers of 8 bytes. bytes is a multiple of 16.
__global__ void __launch_bounds__(32)
    bulk_read(std::byte const* from, std::int64_t chunks, int stages, int bytes, bool contiguous, unsigned long long* sum) {
  extern __shared__ __align__(128) std::byte shared[];
  if (threadIdx.x != 0) return;
  auto const base = static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
  std::uint32_t const barriers = base + static_cast<std::uint32_t>(stages * bytes);
  std::int64_t const share = (chunks + gridDim.x - 1) / gridDim.x;
  std::int64_t const first = contiguous ? blockIdx.x * share : blockIdx.x, step = contiguous ? 1 : gridDim.x;
  std::int64_t const last = contiguous ? min(first + share, chunks) : chunks;

  for (int s = 0; s < stages; ++s) asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(barriers + 8 * s) : "memory");
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  auto const issue = [&](std::int64_t chunk, int s) {
    std::uint32_t const barrier = barriers + 8 * static_cast<std::uint32_t>(s);
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                     base + static_cast<std::uint32_t>(s * bytes)),
                 "l"(from + chunk * bytes), "r"(bytes), "r"(barrier)
                 : "memory");
  };

  std::int64_t next = first;
  for (int s = 0; s < stages && next < last; ++s, next += step) issue(next, s);
  std::uint64_t mine = 0;
  int stage = 0;
  std::uint32_t phase = 0;
  for (std::int64_t chunk = first; chunk < last; chunk += step) {
    std::uint32_t done = 0;
    do {
      asm volatile("{\n .reg .pred p;\n mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n selp.u32 %0, 1, 0, p;\n}"
                   : "=r"(done)
                   : "r"(barriers + 8 * static_cast<std::uint32_t>(stage)), "r"(phase)
                   : "memory");
    } while (done == 0);
    mine ^= *reinterpret_cast<std::uint64_t const volatile*>(shared + stage * bytes);
    if (next < last) {
      asm volatile("fence.proxy.async.shared::cta;" ::: "memory");  // the word above is read before the stage is written again
      issue(next, stage);
      next += step;
    }
    if (++stage == stages) {
      stage = 0;
      phase ^= 1;
    }
  }
  atomicXor(sum, mine);
}

}  // namespace gpu
