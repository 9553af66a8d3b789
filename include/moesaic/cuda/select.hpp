// A warp selects one token's experts, with all scores and keys in registers: lane l has the choices l, l + 32, …, which is how the fixed
// summation order wants them. Sigmoid routers first try to do without most of the scores (filtered_select.hpp).
#pragma once

#include <cstdint>

#include <moesaic/cuda/filtered_select.hpp>
#include <moesaic/cuda/group.hpp>
#include <moesaic/cuda/launch.hpp>
#include <moesaic/cuda/vector.hpp>
#include <moesaic/semantics/select_experts.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

/// Which routers have that kernel: all but sparsemixer's, up to 1024 choices, 32 groups and 32 experts a token. The others are run by the
/// launcher for any stage.
template <class L>
concept selects_in_registers =
    L::config.score != score_fn::sparsemixer&& L::config.choices() <= 1024 && L::config.top_k <= 32 && L::config.n_group <= 32;

namespace detail {

/// The steps of select_experts on one warp. Lane k has the k-th selected expert.
template <class L>
struct warp_select {
  static constexpr moe_config config = L::config;
  static constexpr int choices = config.choices(), each = (choices + 31) / 32, top_k = config.top_k;
  static constexpr int group_size = choices / config.n_group;
  using rule = scores<L>;

  int lane;
  float score[each];  ///< of choice lane + 32 j; logits where the rule scores the selected alone
  std::uint32_t key[each];

  __device__ bool has(int j) const { return (j + 1) * 32 <= choices || lane + 32 * j < choices; }

  __device__ void load(float const* logits, float const* logit_bias) {
#pragma unroll
    for (int j = 0; j < each; ++j) score[j] = has(j) ? logits[lane + 32 * j] : from_bits(nan_bits);  // NaN: no key, no part in a sum
    __syncwarp();  // all loads before the arithmetic, whose branches the compiler does not move them across
#pragma unroll
    for (int j = 0; j < each; ++j)
      if (has(j)) score[j] = rule::logit(score[j], logit_bias, lane + 32 * j);
  }

  __device__ void make_keys([[maybe_unused]] float const* bias) {
#pragma unroll
    for (int j = 0; j < each; ++j) {
      if constexpr (config.bias)
        key[j] = has(j) ? ordered_key(plain_sum(score[j], bias[lane + 32 * j])) : no_key;
      else
        key[j] = ordered_key(score[j]);
    }
  }

  __device__ void make_scores() {
    if constexpr (rule::elementwise) {
#pragma unroll
      for (int j = 0; j < each; ++j) score[j] = rule::from_logit(score[j]);
    } else if constexpr (config.score == score_fn::softmax) {
      std::uint32_t top = no_key;
#pragma unroll
      for (int j = 0; j < each; ++j) top = larger(top, ordered_key(score[j]));
      top = ::__reduce_max_sync(~0U, top);
      float const largest = score_of(top);
      float total = 0.0F;
#pragma unroll
      for (int j = 0; j < each; ++j) {
        score[j] = !is_nan(score[j]) && ordered_key(score[j]) == top ? 1.0F : exp(score[j] - largest);
        if (has(j)) total = plain_sum(total, is_nan(score[j]) ? 0.0F : score[j]);
      }
#pragma unroll
      for (int half = 16; half > 0; half /= 2) total = plain_sum(total, ::__shfl_xor_sync(~0U, total, half));
#pragma unroll
      for (int j = 0; j < each; ++j) score[j] = is_nan(score[j]) ? score[j] : moesaic::detail::quotient(score[j], total);
    }
  }

  /// Turns the keys of all groups but the best topk_group into what their mask says. `keys`: shared memory of a warp, for groups that are
  /// not whole rows of lanes.
  __device__ void keep_best_groups([[maybe_unused]] std::uint32_t* keys) {
    std::uint32_t group_key = no_key;  // of group `lane`
    if constexpr (group_size % 32 == 0) {
      constexpr int rows = group_size / 32;
#pragma unroll
      for (int g = 0; g < config.n_group; ++g) {
        std::uint32_t first = no_key, second = no_key;
#pragma unroll
        for (int j = g * rows; j < (g + 1) * rows; ++j) rank_two(first, second, key[j]);
        std::uint32_t const best = ::__reduce_max_sync(~0U, first);
        if constexpr (config.group_score == group_score_fn::top2_sum) {
          unsigned const owners = ::__ballot_sync(~0U, first == best);
          bool const is_owner = lane == __ffs(static_cast<int>(owners)) - 1;
          second = ::__reduce_max_sync(~0U, is_owner ? second : first);
        }
        std::uint32_t const k = select_experts<L>::group_key(best, second);
        if (lane == g) group_key = k;
      }
    } else {
#pragma unroll
      for (int j = 0; j < each; ++j)
        if (has(j)) keys[lane + 32 * j] = key[j];
      __syncwarp();
      if (lane < config.n_group) {
        std::uint32_t first = no_key, second = no_key;
        for (int i = 0; i < group_size; ++i) rank_two(first, second, keys[lane * group_size + i]);
        group_key = select_experts<L>::group_key(first, second);
      }
      __syncwarp();
    }
    int better = 0;
#pragma unroll
    for (int g = 0; g < config.n_group; ++g) {
      std::uint32_t const other = ::__shfl_sync(~0U, group_key, g);
      better += other > group_key || (other == group_key && g < lane) ? 1 : 0;
    }
    unsigned const kept = ::__ballot_sync(~0U, lane < config.n_group && better < config.topk_group);
    constexpr std::uint32_t masked = config.group_mask == group_mask_fn::zero ? ordered_key(0.0F) : no_key;
#pragma unroll
    for (int j = 0; j < each; ++j) {
      int const g = group_size % 32 == 0 ? j / (group_size >= 32 ? group_size / 32 : 1) : (lane + 32 * j) / group_size;
      if (has(j) && (kept >> g & 1) == 0 && key[j] != no_key) key[j] = masked;
    }
  }

  /// Lane k's expert; `usable` of them have a key.
  __device__ std::int32_t take_best(int& usable) {
    std::int32_t id = -1;
    usable = 0;
#pragma unroll 1
    for (; usable < top_k; ++usable) {
      std::uint32_t local = no_key;
#pragma unroll
      for (int j = 0; j < each; ++j) local = larger(local, key[j]);
      std::uint32_t const best = ::__reduce_max_sync(~0U, local);
      if (best == no_key) break;
      std::uint32_t at = ~0U;
#pragma unroll
      for (int j = each - 1; j >= 0; --j)
        if (key[j] == best) at = static_cast<std::uint32_t>(lane + 32 * j);
      std::uint32_t const winner = ::__reduce_min_sync(~0U, at);
#pragma unroll
      for (int j = 0; j < each; ++j)
        if (static_cast<std::uint32_t>(lane + 32 * j) == winner) key[j] = no_key;
      if (lane == usable) id = static_cast<std::int32_t>(winner);
    }
    int filled = usable;
    for (std::int32_t candidate = 0; filled < top_k; ++candidate)  // the lowest unused
      if (::__ballot_sync(~0U, id == candidate) == 0) {
        if (lane == filled) id = candidate;
        ++filled;
      }
    return id;
  }

  /// The weight of lane k's expert, whose score counts if k < usable.
  __device__ float weight(std::int32_t id, int usable) const {
    float own = from_bits(nan_bits);
    bool const counts = lane < usable;
#pragma unroll
    for (int j = 0; j < each; ++j) {
      float const there = ::__shfl_sync(~0U, score[j], id & 31);
      if (counts && id >> 5 == j) own = there;
    }
    if constexpr (config.score == score_fn::softmax_of_selected) {
      std::uint32_t const k = ordered_key(own), top = ::__reduce_max_sync(~0U, k);
      float const picked = k == no_key ? from_bits(nan_bits) : k == top ? 1.0F : exp(own - score_of(top));
      return rule::weight(picked, sum_in_order(picked));
    } else {
      return rule::weight(own, rule::divisor_of(config.norm == norm_fn::none ? 1.0F : sum_in_order(own)));
    }
  }

 private:
  __device__ static std::uint32_t larger(std::uint32_t a, std::uint32_t b) { return a > b ? a : b; }

  __device__ static void rank_two(std::uint32_t& first, std::uint32_t& second, std::uint32_t k) {
    second = k > first ? first : larger(second, k);
    first = larger(first, k);
  }

  /// v of the lanes 0 … top_k−1, added in that order without the NaN among them.
  __device__ static float sum_in_order(float v) {
    float total = 0.0F;
#pragma unroll
    for (int k = 0; k < top_k; ++k) {
      float const other = ::__shfl_sync(~0U, v, k);
      total = plain_sum(total, is_nan(other) ? 0.0F : other);
    }
    return total;
  }
};

/// What a warp wants of shared memory.
template <class L>
struct select_memory {
  static constexpr bool groups_meet_in_memory = L::config.topk_group < L::config.n_group && warp_select<L>::group_size % 32 != 0;
  std::uint32_t keys[groups_meet_in_memory ? warp_select<L>::choices : 1];
  float ranked[L::config.top_k];
};

/// Token t's experts, by the calling warp. Filter: decides on estimates where that is enough.
template <class L, bool Filter>
__device__ inline void select_token(select_experts<L> const& f, std::int64_t t, select_memory<L>& memory) {
  constexpr moe_config config = L::config;
  if constexpr (Filter)
    if (filtered_select<L>::run(f.logits.row(t), f.biases.bias, memory.ranked, f.out.ids + t * config.top_k,
                                f.out.weights + t * config.top_k))
      return;

  warp_select<L> s;
  s.lane = static_cast<int>(threadIdx.x) % 32;
  s.load(f.logits.row(t), f.biases.logit_bias);
  if constexpr (config.rank == rank_fn::logit) s.make_keys(f.biases.bias);
  s.make_scores();
  if constexpr (config.rank == rank_fn::score) s.make_keys(f.biases.bias);
  if constexpr (config.topk_group < config.n_group) s.keep_best_groups(memory.keys);
  int usable;
  std::int32_t const id = s.take_best(usable);
  float const weight = s.weight(id, usable);
  if (s.lane < config.top_k) {
    f.out.ids[t * config.top_k + s.lane] = id;
    f.out.weights[t * config.top_k + s.lane] = weight;
  }
}

/// Whether filtered_select may read what f has.
template <class L>
bool may_filter(select_experts<L> const& f) {
  return filtered_select<L>::possible && rows_are_16_byte_aligned(f.logits) && is_16_byte_aligned(f.biases.bias);
}

inline constexpr int select_warps = 4;

template <class L, bool Filter>
__global__ void __launch_bounds__(select_warps * 32) select_kernel(std::int64_t n, select_experts<L> const f) {
  __shared__ select_memory<L> memory[select_warps];
  ptx::follow_dependency();
  int const warp = static_cast<int>(threadIdx.x) / 32;
  std::int64_t const t = std::int64_t{blockIdx.x} * select_warps + warp;
  if (t < n) select_token<L, Filter>(f, t, memory[warp]);
}

}  // namespace detail

#pragma GCC visibility push(hidden)  // see cuda/launch.hpp

template <class L>
requires selects_in_registers<L>
struct launcher<select_experts<L>> {
  static status launch(cudaStream_t stream, std::int64_t n, select_experts<L> const& f) {
    if (n <= 0) return {};
    std::int64_t const blocks = ceil_div(n, detail::select_warps);
    launch_shape const shape{.blocks = static_cast<unsigned>(blocks), .threads = detail::select_warps * 32, .overlaps = true};
    if constexpr (detail::filtered_select<L>::possible)
      if (detail::may_filter(f)) return start(stream, shape, detail::select_kernel<L, true>, n, f);
    return start(stream, shape, detail::select_kernel<L, false>, n, f);
  }
};

#pragma GCC visibility pop

}  // namespace moesaic::inline MOESAIC_ABI::cuda
