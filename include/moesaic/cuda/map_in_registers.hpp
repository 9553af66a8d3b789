// The dispatch map of up to 65536 slots and 512 experts: every slot is read once and stays in a register until its row is known. The four
// steps of map.hpp, with all sizes known to the compiler.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include <moesaic/cuda/ptx/cluster.hpp>
#include <moesaic/cuda/ptx/dependent_launch.hpp>
#include <moesaic/cuda/vector.hpp>
#include <moesaic/semantics/dispatch.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::detail {

/// Words: each counts two experts, in 16 bits each, which hold all slots of a block. Warp w of block b has the slots from
/// (b · Warps + w) · Rounds · 32 on. A grid of several blocks is one cluster, of most_blocks at most.
template <int Words, int Warps, int Rounds>
struct register_map {
  static constexpr int lanes = 32, threads = Warps * lanes, most_blocks = 8;
  static constexpr int parts = threads / Words, warps_a_part = Warps / parts;  // step 2: a thread has one word of so many warps
  static constexpr int stride = Words + 4;                                     // of a warp's counts; behind them those of no expert
  static constexpr std::int64_t slots = std::int64_t{threads} * Rounds;        // of a block
  static_assert(threads % Words == 0 && Warps % parts == 0 && Words % 32 == 0);

  struct shared {
    std::uint32_t counts[Warps][stride];  // later what earlier warps of the block have
    std::uint32_t sums[parts][Words];
    std::uint32_t block[Words];    // the block's counts
    std::int32_t base[2 * Words];  // where the block's first row of each expert goes
    std::int32_t carry[Words / lanes];
  };
  static_assert(sizeof(shared) <= 48 * 1024);
};

template <class Shape, int Words, int Warps, int Rounds>
__global__ void __launch_bounds__(Warps * 32) build_map_in_registers(build_dispatch_map const f) {
  constexpr unsigned lanes = Shape::lanes, run = Rounds * lanes;
  constexpr unsigned nobody = 2 * Words;
  auto& s = *ptx::dynamic_shared<typename Shape::shared>();
  unsigned const lane = threadIdx.x % lanes, warp = threadIdx.x / lanes;
  unsigned const slots = static_cast<unsigned>(f.map.tokens) * static_cast<unsigned>(f.map.top_k);
  unsigned const first = (blockIdx.x * Warps + warp) * run + lane;
  ptx::follow_dependency();

  // 1
  std::int32_t id[Rounds];
#pragma unroll
  for (int r = 0; r < Rounds; ++r) {
    unsigned const slot = first + static_cast<unsigned>(r) * lanes;
    id[r] = slot < slots ? f.ids[slot] : -1;
  }
  unsigned valid = slots;
  if (f.valid_tokens != nullptr) {
    std::int64_t const v = std::int64_t{*f.valid_tokens} * f.map.top_k;
    valid = v < 0 ? 0 : v < slots ? static_cast<unsigned>(v) : slots;
  }
  for (unsigned i = lane * 4; i < Shape::stride; i += lanes * 4) *reinterpret_cast<word<16>*>(&s.counts[warp][i]) = {};
  __syncwarp();
  auto* const counts = reinterpret_cast<std::uint16_t*>(s.counts[warp]);
  unsigned expert[Rounds], peers[Rounds], rank[Rounds];
#pragma unroll
  for (int r = 0; r < Rounds; ++r) {
    bool const is_here =
        first + static_cast<unsigned>(r) * lanes < valid && static_cast<unsigned>(id[r]) < static_cast<unsigned>(f.map.experts);
    expert[r] = is_here ? static_cast<unsigned>(id[r]) : nobody;
    peers[r] = ::__match_any_sync(~0U, static_cast<int>(expert[r]));
  }
#pragma unroll
  for (int r = 0; r < Rounds; ++r) {
    unsigned const below = static_cast<unsigned>(__popc(peers[r] & ((1U << lane) - 1)));
    unsigned const before = counts[expert[r]];
    __syncwarp();
    if (below == 0) counts[expert[r]] = static_cast<std::uint16_t>(before + static_cast<unsigned>(__popc(peers[r])));
    __syncwarp();
    rank[r] = before + below;
  }
  __syncthreads();

  // 2
  unsigned const word_index = threadIdx.x % Words, part = threadIdx.x / Words;
  {
    std::uint32_t own[Shape::warps_a_part], sum = 0;
#pragma unroll
    for (int w = 0; w < Shape::warps_a_part; ++w) {
      own[w] = s.counts[part * Shape::warps_a_part + static_cast<unsigned>(w)][word_index];
      sum += own[w];
    }
    s.sums[part][word_index] = sum;
    __syncthreads();
    std::uint32_t before = 0;
#pragma unroll
    for (unsigned p = 0; p + 1 < Shape::parts; ++p)
      if (p < part) before += s.sums[p][word_index];
#pragma unroll
    for (int w = 0; w < Shape::warps_a_part; ++w) {
      s.counts[part * Shape::warps_a_part + static_cast<unsigned>(w)][word_index] = before;
      before += own[w];
    }
    if (part == Shape::parts - 1) s.block[word_index] = before;
  }
  bool const alone = gridDim.x == 1;
  if (alone) {
    __syncthreads();
  } else {
    ptx::cluster_arrive();
    ptx::cluster_wait();
  }

  // 3
  std::int32_t all[2] = {}, earlier[2] = {};  // of a word's two experts
  std::int32_t own = 0, up_to = 0;
  if (threadIdx.x < Words) {
    std::uint32_t of_block[Shape::most_blocks] = {s.block[threadIdx.x]};
    if (!alone) {
#pragma unroll
      for (unsigned b = 0; b < Shape::most_blocks; ++b) of_block[b] = b < gridDim.x ? ptx::read_shared_of(b, &s.block[threadIdx.x]) : 0;
    }
#pragma unroll
    for (unsigned b = 0; b < Shape::most_blocks; ++b) {
      std::int32_t const low = static_cast<std::int32_t>(of_block[b] & 0xFFFFu), high = static_cast<std::int32_t>(of_block[b] >> 16);
      all[0] += low, all[1] += high;
      if (b < blockIdx.x) earlier[0] += low, earlier[1] += high;
    }
    own = all[0] + all[1];
    up_to = own;
#pragma unroll
    for (unsigned d = 1; d < lanes; d *= 2) {
      std::int32_t const other = ::__shfl_up_sync(~0U, up_to, d);
      if (lane >= d) up_to += other;
    }
    if (lane == lanes - 1) s.carry[warp] = up_to;
  }
  __syncthreads();
  std::int32_t total = 0, before = 0;
#pragma unroll
  for (unsigned w = 0; w < Words / lanes; ++w) {
    if (w < warp) before += s.carry[w];
    total += s.carry[w];
  }
  if (threadIdx.x < Words) {
    before += up_to - own;
    std::int32_t const next = before + all[0];
    int const e = static_cast<int>(2 * threadIdx.x);
    s.base[e] = before + earlier[0];
    s.base[e + 1] = next + earlier[1];
    if (blockIdx.x == 0) {
      if (e < f.map.experts) f.map.expert_offsets[e] = before;
      if (e + 1 < f.map.experts) f.map.expert_offsets[e + 1] = next;
    }
  }
  __syncthreads();
  if (!alone) ptx::cluster_arrive_relaxed();  // no block leaves while others read its counts
  if (blockIdx.x == 0 && threadIdx.x == 0) f.map.expert_offsets[f.map.experts] = total;

  // 4
  std::int32_t row[Rounds];
#pragma unroll
  for (int r = 0; r < Rounds; ++r)
    row[r] = expert[r] != nobody ? s.base[expert[r]] + static_cast<std::int32_t>(counts[expert[r]] + rank[r]) : -1;
#pragma unroll
  for (int r = 0; r < Rounds; ++r) {
    unsigned const slot = first + static_cast<unsigned>(r) * lanes;
    if (slot < slots) f.map.slot_to_row[slot] = row[r];
    if (row[r] >= 0) f.map.row_to_slot[row[r]] = static_cast<std::int32_t>(slot);
  }
#pragma unroll 1
  for (unsigned i = static_cast<unsigned>(total) + blockIdx.x * Shape::threads + threadIdx.x; i < slots; i += gridDim.x * Shape::threads)
    f.map.row_to_slot[i] = -1;
  if (!alone) ptx::cluster_wait();
}

}  // namespace moesaic::inline MOESAIC_ABI::cuda::detail
