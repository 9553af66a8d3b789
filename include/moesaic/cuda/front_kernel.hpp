// The front in one launch: experts selected, the dispatch map, and x quantised. A block has some consecutive tokens from their logits to
// their rows; the blocks meet once, to learn how many slots each has of every expert.
//
//   1  a warp selects a token's experts (select.hpp), unless they are given
//   2  the block counts its slots by expert, as map.hpp does, and tells the others
//   3  all blocks' counts: where every expert starts, and what the blocks before this one have of each
//   4  rows of the block's slots, and the block's tokens quantised to wherever they go
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include <moesaic/cuda/front_rows.hpp>
#include <moesaic/cuda/ptx/cluster.hpp>
#include <moesaic/cuda/ptx/grid.hpp>
#include <moesaic/cuda/select.hpp>
#include <moesaic/semantics/dispatch.hpp>
#include <moesaic/semantics/select_experts.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

/// How tokens are shared out: block b has the `tokens_each` from b · tokens_each on.
struct front_grid {
  static constexpr int most_blocks = 256;

  int blocks, tokens_each;

  /// For tokens > 0. `least`: tokens that a block has at least, if there are as many.
  static constexpr front_grid of(std::int64_t tokens, int multiprocessors, int least) {
    std::int64_t const most = multiprocessors < most_blocks ? multiprocessors : most_blocks;
    std::int64_t const equal = ceil_div(tokens, most), each = equal > least ? equal : least;
    return {static_cast<int>(ceil_div(tokens, each)), static_cast<int>(each)};
  }
};

namespace detail {

template <class L>
struct front_shape {
  static constexpr int experts = L::config.experts, top_k = L::config.top_k;
  static constexpr int threads = 512, warps = threads / 32;
  static constexpr int words = (experts + 1) / 2, counted = 2 * words;           // a word in memory counts two experts
  static constexpr int parts = threads / static_cast<int>(align_up(words, 32));  // that add up the blocks' words, each its own blocks'
  static constexpr std::int64_t most_slots = 4096;                               // of a block
  static constexpr std::uint16_t nobody = 0xFFFF;
  static_assert(most_slots < 0x10000 && parts > 0 && counted <= threads);

  struct shared {
    select_memory<L> select[warps];
    std::uint16_t counts[warps][counted];  // of the experts in a warp's slots, later in those of the warps before
    std::int32_t all[parts][counted], earlier[parts][counted];
    std::int32_t base[counted];    // the block's first row of each expert
    std::uint16_t start[counted];  // the block's first slot of each expert in `sorted`
    std::int32_t carry[warps];
    // and behind it, of each slot of the block: its row, its expert, the slots by expert
  };
  static constexpr std::int64_t shared_bytes(std::int64_t slots) {
    return static_cast<std::int64_t>(sizeof(shared)) + align_up(slots, 8) * (4 + 2 + 2);
  }

  static constexpr std::int64_t scratch_bytes(std::int64_t tokens) {
    return (tokens < front_grid::most_blocks ? tokens : front_grid::most_blocks) * words * 4;
  }
};

template <class Select>
inline constexpr bool is_given = false;
template <class L>
inline constexpr bool is_given<given_experts<L>> = true;

template <class Select, class Rows>
struct front_arguments {
  Select select;
  build_dispatch_map map;
  std::uint32_t* counts;  // [blocks][words]
  int tokens_each;
  Rows rows;
};

/// The sum of v over the threads before this one, and over all of the block, which call it together. `carry`: shared, a word for each warp.
__device__ inline std::int32_t sum_before(std::int32_t v, std::int32_t* carry, std::int32_t& total) {
  int const lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  std::int32_t up_to = v;
#pragma unroll
  for (int d = 1; d < 32; d *= 2) {
    std::int32_t const other = ::__shfl_up_sync(~0U, up_to, static_cast<unsigned>(d));
    if (lane >= d) up_to += other;
  }
  __syncthreads();  // the last call's carry has been read
  if (lane == 31) carry[warp] = up_to;
  __syncthreads();
  std::int32_t before = up_to - v;
  total = 0;
  for (int w = 0; w < static_cast<int>(blockDim.x) / 32; ++w) {
    if (w < warp) before += carry[w];
    total += carry[w];
  }
  return before;
}

template <class Shape, template <class> class Select, class L, class Rows>
__global__ void __launch_bounds__(Shape::threads, 1) front_kernel(front_arguments<Select<L>, Rows> const a) {
  constexpr int top_k = Shape::top_k, warps = Shape::warps, words = Shape::words, counted = Shape::counted;
  auto& s = *ptx::dynamic_shared<typename Shape::shared>();
  ptx::follow_dependency();
  dispatch_map const& map = a.map.map;
  int const thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  int const tokens = static_cast<int>(map.tokens), first = static_cast<int>(blockIdx.x) * a.tokens_each;  // slots are below 2³¹
  int const last = tokens - first < a.tokens_each ? tokens : first + a.tokens_each, slots = (last - first) * top_k;
  int const slot_room = static_cast<int>(align_up(a.tokens_each * top_k, 8));
  auto* const row = reinterpret_cast<std::int32_t*>(&s + 1);
  auto* const expert = reinterpret_cast<std::uint16_t*>(row + slot_room);
  auto* const sorted = expert + slot_room;

  // 1
  int const valid = a.map.valid_tokens != nullptr && *a.map.valid_tokens < tokens ? *a.map.valid_tokens : tokens;
  auto const look_up = [&](int i) {  // the expert of the block's slot i
    auto const id = static_cast<std::uint32_t>(a.map.ids[std::int64_t{first} * top_k + i]);
    expert[i] =
        first + i / top_k < valid && id < static_cast<std::uint32_t>(Shape::experts) ? static_cast<std::uint16_t>(id) : Shape::nobody;
  };
  if constexpr (is_given<Select<L>>) {
    for (int i = thread; i < slots; i += Shape::threads) look_up(i);
  } else {
#pragma unroll 1
    for (int t = first + warp; t < last; t += warps) {
      select_token<L, filtered_select<L>::possible>(a.select, t, s.select[warp]);
      __syncwarp();
      if (lane < top_k) look_up((t - first) * top_k + lane);
    }
  }
  for (int i = lane; i < counted; i += 32) s.counts[warp][i] = 0;
  __syncthreads();

  // 2: a warp has `run` consecutive slots
  int const run = static_cast<int>(align_up(ceil_div(slots, warps), 32));
  for (int i = warp * run; i < slots && i < (warp + 1) * run; i += 32) {
    int const slot = i + lane;
    std::uint16_t const e = slot < slots ? expert[slot] : Shape::nobody;
    unsigned const peers = ::__match_any_sync(~0U, static_cast<int>(e));
    int const below = __popc(peers & ((1U << lane) - 1));
    int const before = e != Shape::nobody ? s.counts[warp][e] : 0;
    __syncwarp();
    if (e != Shape::nobody && below == 0) s.counts[warp][e] = static_cast<std::uint16_t>(before + __popc(peers));
    __syncwarp();
    if (slot < slots) row[slot] = before + below;
  }
  __syncthreads();
  int of_block = 0;  // of expert `thread`
  if (thread < counted) {
    int const counting = static_cast<int>(ceil_div(slots, run));
    for (int w = 0; w < counting; ++w) {
      int const own = s.counts[w][thread];
      s.counts[w][thread] = static_cast<std::uint16_t>(of_block);
      of_block += own;
    }
  }
  {
    int const next = ::__shfl_down_sync(~0U, of_block, 1U);
    if (thread < counted && thread % 2 == 0)
      a.counts[blockIdx.x * words + static_cast<unsigned>(thread / 2)] =
          static_cast<std::uint32_t>(of_block) | static_cast<std::uint32_t>(next) << 16;
  }
  ptx::grid_ticket ticket{};
  if (gridDim.x > 1) ticket = ptx::arrive_at_grid();
  if constexpr (Rows::by_token) {
    quantize_tokens<L::config.hidden>(a.rows.x, same_row{}, a.rows.out, first, last);
    for (std::size_t i = blockIdx.x * Shape::threads + threadIdx.x; i < a.rows.counters.bytes / 4; i += gridDim.x * Shape::threads)
      static_cast<std::uint32_t*>(a.rows.counters.data)[i] = 0;
  }
  [[maybe_unused]] std::int32_t placed = 0;  // the block's slots that have a row
  if constexpr (Rows::by_slot) {
    std::int32_t const start = sum_before(of_block, s.carry, placed);
    if (thread < counted) s.start[thread] = static_cast<std::uint16_t>(start);
  }
  if (gridDim.x > 1)
    ptx::wait_for_grid(ticket);
  else
    __syncthreads();

  // 3
  {
    constexpr int lanes_of_part = Shape::threads / Shape::parts / 32 * 32;
    int const part = thread / lanes_of_part, word = thread % lanes_of_part;
    if (part < Shape::parts && word < words) {
      std::int32_t all[2] = {}, earlier[2] = {};
#pragma unroll 4
      for (unsigned b = static_cast<unsigned>(part); b < gridDim.x; b += Shape::parts) {
        std::uint32_t const two = a.counts[b * words + static_cast<unsigned>(word)];
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          auto const c = static_cast<std::int32_t>(i == 0 ? two & 0xFFFFu : two >> 16);
          all[i] += c;
          if (b < blockIdx.x) earlier[i] += c;
        }
      }
#pragma unroll
      for (int i = 0; i < 2; ++i) s.all[part][2 * word + i] = all[i], s.earlier[part][2 * word + i] = earlier[i];
    }
  }
  __syncthreads();
  std::int32_t of_all = 0, earlier = 0, total;  // of expert `thread`
  if (thread < counted)
    for (int p = 0; p < Shape::parts; ++p) of_all += s.all[p][thread], earlier += s.earlier[p][thread];
  std::int32_t const offset = sum_before(of_all, s.carry, total);
  if (thread < counted) s.base[thread] = offset + earlier;
  if (blockIdx.x == 0 && thread < Shape::experts) map.expert_offsets[thread] = offset;
  if (blockIdx.x == 0 && thread == 0) map.expert_offsets[Shape::experts] = total;
  __syncthreads();

  // 4
  for (int i = thread; i < slots; i += Shape::threads) {
    std::uint16_t const e = expert[i];
    std::int32_t r = -1;
    if (e != Shape::nobody) {
      int const of_expert = s.counts[i / run][e] + row[i];  // which of the block's slots of this expert
      r = s.base[e] + of_expert;
      map.row_to_slot[r] = first * top_k + i;
      if constexpr (Rows::by_slot) sorted[s.start[e] + of_expert] = static_cast<std::uint16_t>(i);
    }
    map.slot_to_row[first * top_k + i] = r;
    row[i] = r;
  }
#pragma unroll 1
  for (unsigned i = static_cast<unsigned>(total) + blockIdx.x * Shape::threads + threadIdx.x; i < static_cast<unsigned>(tokens * top_k);
       i += gridDim.x * Shape::threads)
    map.row_to_slot[i] = -1;

  if constexpr (Rows::by_slot) {
    __syncthreads();
    auto const& to = a.rows;
    quantize_tokens<L::config.hidden>(to.x, rows_in_block{row, to.ahead, first, top_k, to.scales_follow}, to.out, first, last);
    if (!to.scales_follow) return;
    __syncthreads();
    for (int b = warp; b < static_cast<int>(ceil_div(L::config.hidden, scale_block)); b += warps)
      for (int i = lane; i < placed; i += 32) {
        int const slot = sorted[i];
        to.out.scale(b, to.ahead + row[slot]) = to.out.scale(b, first + slot / top_k);
      }
  }
}

}  // namespace detail

}  // namespace moesaic::inline MOESAIC_ABI::cuda
