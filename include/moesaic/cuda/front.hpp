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

#include <moesaic/cuda/clear.hpp>
#include <moesaic/cuda/launch.hpp>
#include <moesaic/cuda/map.hpp>
#include <moesaic/cuda/ptx/cluster.hpp>
#include <moesaic/cuda/ptx/grid.hpp>
#include <moesaic/cuda/quantize.hpp>
#include <moesaic/cuda/select.hpp>
#include <moesaic/semantics/dispatch.hpp>
#include <moesaic/semantics/quantize.hpp>
#include <moesaic/semantics/select_experts.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

/// Which layers have the front in one launch: up to 512 experts, of a router that select.hpp has a kernel for.
template <class L>
inline constexpr bool fuses_front = selects_in_registers<L>&& L::config.choices() <= 512;

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

/// What becomes of x. Nothing: it is read as it is …
struct x_stays {
  static constexpr bool by_token = false, by_slot = false;
};
/// … it is quantised, a row for each token, and what counts tiles of the step up is zeroed …
template <class X, class Scale>
struct x_by_token {
  static constexpr bool by_token = true, by_slot = false;
  stored_values<X> x;
  quantized_rows<Scale> out;
  memory counters;
};
/// … or a row for each slot, behind `ahead` rows: 0, or those of the tokens themselves. `scales_follow`: once the block's codes are
/// written, a thread has a row and takes its scales from its token's. Rows of one expert are neighbours, their tokens are not.
template <class X, class Scale>
struct x_by_slot {
  static constexpr bool by_token = false, by_slot = true;
  stored_values<X> x;
  quantized_rows<Scale> out;
  std::int64_t ahead;
  bool scales_follow;
};

template <class Select, class Rows>
struct front_arguments {
  Select select;
  build_dispatch_map map;
  std::uint32_t* counts;  // [blocks][words]
  int tokens_each;
  Rows rows;
};

/// The rows of a token's slots, which are in shared memory.
struct rows_in_block {
  std::int32_t const* row_of_slot;
  std::int64_t ahead;
  int first_token, top_k;
  bool scales_follow;

  template <class F>
  __device__ void for_each(int token, F const& f) const {
    if (ahead > 0) f(std::int64_t{token});
    std::int32_t const* const row = row_of_slot + (token - first_token) * top_k;
    for (int k = 0; k < top_k; ++k)
      if (row[k] >= 0) f(ahead + row[k]);
  }
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

/// The block's tokens [first, last), all scale blocks of them.
template <int Cols, class Source, class Scale, class Targets>
__device__ inline void quantize_tokens(Source const& source, Targets const& targets, quantized_rows<Scale> const& out, int first,
                                       int last) {
  constexpr int quantizers = 32 / Source::lanes, blocks = static_cast<int>(ceil_div(Cols, scale_block));
  int const lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32, warps = static_cast<int>(blockDim.x) / 32;
  int const items = (last - first) * blocks;
#pragma unroll 1
  for (int i = warp * quantizers; i < items; i += warps * quantizers) {
    int const item = i + lane / Source::lanes;
    quantize_share(source, targets, out, Cols, first + item / blocks, item % blocks, lane % Source::lanes, item < items);
  }
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
    expert[i] = first + i / top_k < valid && id < static_cast<std::uint32_t>(Shape::experts) ? static_cast<std::uint16_t>(id) : Shape::nobody;
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

#pragma GCC visibility push(hidden)  // see cuda/launch.hpp

namespace detail {

/// Whether front_kernel may run what is asked for: else its stages do, one by one.
template <template <class> class Select, class L>
bool takes_front(front_grid const& grid, [[maybe_unused]] Select<L> const& f) {
  if (std::int64_t{grid.tokens_each} * L::config.top_k > front_shape<L>::most_slots) return false;
  if constexpr (!is_given<Select<L>> && filtered_select<L>::possible)
    return may_filter(f);
  else
    return true;
}

template <template <class> class Select, class L, class Rows>
status start_front(cudaStream_t stream, front_grid const& grid, Select<L> const& select, build_dispatch_map const& map,
                   std::uint32_t* counts, Rows const& rows) {
  using shape = front_shape<L>;
  auto const bytes = static_cast<unsigned>(shape::shared_bytes(grid.tokens_each * L::config.top_k));
  if (bytes > 48 * 1024)
    if (status const s = allow_shared(front_kernel<shape, Select, L, Rows>, static_cast<int>(bytes)); !s) return s;
  return start(stream,
               {.blocks = static_cast<unsigned>(grid.blocks),
                .threads = shape::threads,
                .shared_bytes = bytes,
                .cooperative = grid.blocks > 1,
                .overlaps = true},
               front_kernel<shape, Select, L, Rows>, front_arguments<Select<L>, Rows>{select, map, counts, grid.tokens_each, rows});
}

template <class Select>
status launch_select_and_map(cudaStream_t stream, [[maybe_unused]] Select const& select, build_dispatch_map const& map) {
  if constexpr (!is_given<Select>)
    if (status const s = launcher<Select>::launch(stream, map.map.tokens, select); !s) return s;
  return launcher<build_dispatch_map>::launch(stream, 1, map);
}

}  // namespace detail

/// Bytes of scratch of the front of so many tokens.
template <class L>
constexpr std::size_t front_scratch_bytes(std::int64_t tokens) {
  return static_cast<std::size_t>(detail::front_shape<L>::scratch_bytes(tokens));
}

/// select, then map, in one launch: their bits, in every run and for any number of multiprocessors (of which the grid has at most one block
/// each). select: logits fp32 [T, E+Z], or given_experts, and there is nothing to select; map: ids i32 [T, K], those that `select` writes; T > 0. `scratch`: device memory, 4-byte aligned,
/// front_scratch_bytes<L>(T). More than 4096 slots a multiprocessor, or a misaligned bias: the stages, one by one. Capturable. Errors:
/// device_refused, see start().
template <template <class> class Select, class L>
status launch_front(cudaStream_t stream, int multiprocessors, Select<L> const& select, build_dispatch_map const& map,
                    memory scratch) {
  front_grid const grid = front_grid::of(map.map.tokens, multiprocessors, detail::front_shape<L>::warps);
  if (!detail::takes_front(grid, select)) return detail::launch_select_and_map(stream, select, map);
  return detail::start_front(stream, grid, select, map, static_cast<std::uint32_t*>(scratch.data), detail::x_stays{});
}

/// The same, and x [T, H] quantised into E4M3 codes and scales for 128 columns each (semantics/quantize.hpp): to a row for each token, with
/// counters zeroed …
template <template <class> class Select, class L, class X, class Scale>
status launch_front(cudaStream_t stream, int multiprocessors, Select<L> const& select, build_dispatch_map const& map,
                    memory scratch, matrix_view<X const> x, quantized_rows<Scale> const& out, memory counters = {}) {
  front_grid const grid = front_grid::of(x.rows, multiprocessors, 1);
  if (detail::takes_front(grid, select) && rows_are_16_byte_aligned(x) && detail::takes_whole_words(out, x.cols))
    return detail::start_front(stream, grid, select, map, static_cast<std::uint32_t*>(scratch.data),
                               detail::x_by_token<X, Scale>{{x}, out, counters});
  if (status const s = detail::launch_select_and_map(stream, select, map); !s) return s;
  quantize_rows<X, Scale> const quantize{x, out};
  status const s = launcher<quantize_rows<X, Scale>>::launch(stream, x.rows * ceil_div(x.cols, scale_block), quantize);
  return s ? start_clear(stream, counters) : s;
}

/// … or to a row for each slot, behind `ahead` rows, 0 or T of the tokens themselves, as start_quantize_permute does, whose alignment x and
/// out have.
template <template <class> class Select, class L, class X, class Scale>
status launch_front(cudaStream_t stream, int multiprocessors, Select<L> const& select, build_dispatch_map const& map,
                    memory scratch, matrix_view<X const> x, quantized_rows<Scale> const& out, std::int64_t ahead) {
  constexpr std::int64_t many = 16;  // tokens of a block from which an expert has some rows of it
  front_grid const grid = front_grid::of(x.rows, multiprocessors, 1);
  if (detail::takes_front(grid, select))
    return detail::start_front(stream, grid, select, map, static_cast<std::uint32_t*>(scratch.data),
                               detail::x_by_slot<X, Scale>{{x}, out, ahead, ahead > 0 && grid.tokens_each >= many});
  if (status const s = detail::launch_select_and_map(stream, select, map); !s) return s;
  return start_quantize_permute(stream, x, map.map, out, ahead);
}

#pragma GCC visibility pop

}  // namespace moesaic::inline MOESAIC_ABI::cuda
