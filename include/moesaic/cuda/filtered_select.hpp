// Which experts a sigmoid router selects, decided on estimates of the scores: exact scores are computed for the selected alone. Where
// estimates are too near to each other to decide, it says so, and all is done exactly (select.hpp): the bits are the same either way.
#pragma once

#include <cstdint>
#include <utility>

#include <moesaic/cuda/group.hpp>
#include <moesaic/cuda/ptx/approximate.hpp>
#include <moesaic/cuda/vector.hpp>
#include <moesaic/semantics/select_experts.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::detail {

/// Exchange number `which` of Batcher's odd-even merge sort of n values; low is −1 behind the last.
struct exchange {
  int low, high;
};
MOESAIC_HD constexpr exchange exchange_of_sort(int n, int which) {
  for (int p = 1; p < n; p *= 2)
    for (int k = p; k > 0; k /= 2)
      for (int j = k % p; j + k < n; j += 2 * k)
        for (int i = 0; i < k && i + j + k < n; ++i)
          if ((i + j) / (2 * p) == (i + j + k) / (2 * p) && which-- == 0) return {i + j, i + j + k};
  return {-1, -1};
}
MOESAIC_HD constexpr int exchanges_of_sort(int n) {
  int count = 0;
  while (exchange_of_sort(n, count).low >= 0) ++count;
  return count;
}

template <int Count, int Which>
__device__ inline void compare_exchange(std::uint32_t (&key)[Count]) {
  constexpr exchange x = exchange_of_sort(Count, Which);
  std::uint32_t const a = key[x.low], b = key[x.high];
  key[x.low] = a > b ? a : b;
  key[x.high] = a > b ? b : a;
}
template <int Count, int... Which>
__device__ inline void sort_descending(std::uint32_t (&key)[Count], std::integer_sequence<int, Which...>) {
  (compare_exchange<Count, Which>(key), ...);
}

/// One warp, one token; lane l has the choices l · each … l · each + each − 1, so a group is some lanes.
template <class L>
struct filtered_select {
  static constexpr moe_config config = L::config;
  static constexpr int choices = config.choices(), each = (choices + 31) / 32, top_k = config.top_k;
  static constexpr bool groups_compete = config.topk_group < config.n_group;
  static constexpr int lanes_a_group = choices / config.n_group / each;
  static constexpr bool groups_fit =
      choices / config.n_group % each == 0 && (lanes_a_group & (lanes_a_group - 1)) == 0 && config.group_mask == group_mask_fn::minus_inf;
  static constexpr bool possible = config.score == score_fn::sigmoid && config.rank == rank_fn::score && !config.logit_bias &&
                                   config.logit_scale == 1.0F && config.logit_softcap == 0.0F && choices % 32 == 0 && each <= 16 &&
                                   top_k <= 16 && (!groups_compete || groups_fit);
  static constexpr int a_load = each % 4 == 0 ? 4 : each % 2 == 0 ? 2 : 1;

  /// The low bits of a key say which of the lane's choices it is.
  static constexpr std::uint32_t index_mask = each > 8 ? 15 : each > 4 ? 7 : each > 2 ? 3 : 1;

  /// How far the ranked value of an exact selection may be from the estimate v that a key holds. Of that are: 2⁻²¹ the estimate of the
  /// sigmoid and 1.5 · 2⁻²⁴ the sigmoid itself; for both, the bias added, |v| · 2⁻²⁴; for the key's low bits, index_mask · |v| · 2⁻²³.
  __device__ static float doubt(float v) { return fma(from_bits(abs_bits(v)), static_cast<float>(index_mask + 1) * 0x1p-22F, 0x1p-20F); }

  /// Selects and answers true, with everything written; or answers false, with nothing written. `logits` and `bias` (null if the model has
  /// none) are aligned to a_load floats. `ranked` is shared memory of this warp, top_k floats.
  __device__ static bool run(float const* logits, float const* bias, float* ranked, std::int32_t* ids, float* weights) {
    int const lane = static_cast<int>(threadIdx.x % 32);
    std::uint32_t key[each];
    bool finite = true;
#pragma unroll
    for (int j = 0; j < each; j += a_load) {
      pack<float, a_load> const z = load<a_load>(logits + lane * each + j);
      pack<float, a_load> b{};
      if constexpr (config.bias) b = load<a_load>(bias + lane * each + j);
#pragma unroll
      for (int i = 0; i < a_load; ++i) {
        float const v = config.bias ? ptx::about_sigmoid(element(z, i)) + element(b, i) : ptx::about_sigmoid(element(z, i));
        finite = finite && ::fabsf(v) < 0x1p+100F;
        key[j + i] = (key_of(v) & ~index_mask) | static_cast<std::uint32_t>(j + i);
      }
    }
    if (!::__all_sync(~0U, finite)) return false;

    bool kept = true;
    if constexpr (groups_compete) {
      bool certain;
      kept = keeps_group(key, certain);
      if (!certain) return false;
    }

    // The best of every lane's best, again and again. A lane whose best is taken goes on with its next.
    sort_descending(key, std::make_integer_sequence<int, exchanges_of_sort(each)>{});
    if (!kept) key[0] = no_key;
    std::int32_t id[top_k], own = 0;
    std::uint32_t last = 0;
#pragma unroll
    for (int k = 0; k < top_k; ++k) {
      last = ::__reduce_max_sync(~0U, key[0]);
      int const owner = __ffs(static_cast<int>(::__ballot_sync(~0U, key[0] == last))) - 1;
      id[k] = owner * each + static_cast<std::int32_t>(last & index_mask);
      if (lane == k) own = id[k];
      bool const taken = lane == owner;
#pragma unroll
      for (int j = 0; j + 1 < each; ++j) key[j] = taken ? key[j + 1] : key[j];
      if (each == 1 || top_k >= each) key[each - 1] = taken ? no_key : key[each - 1];
    }
    std::uint32_t const next = ::__reduce_max_sync(~0U, key[0]);
    if (last == no_key) return false;
    if (next != no_key && !(value_of(last) - doubt(value_of(last)) > value_of(next) + doubt(value_of(next)))) return false;

    // Now exactly, lane k for the k-th of them, and in exact order.
    bool const counts = lane < top_k;
    float const logit = counts ? logits[own] : 0.0F;
    float const added = config.bias && counts ? bias[own] : 0.0F;
    __syncwarp();  // both loads before the arithmetic, whose branches the compiler does not move them across
    float const score = scores<L>::from_logit(logit);
    std::uint32_t const exact = !counts ? no_key : config.bias ? ordered_key(plain_sum(score, added)) : ordered_key(score);
    int better = 0;
#pragma unroll
    for (int k = 0; k < top_k; ++k) {
      std::uint32_t const other = ::__shfl_sync(~0U, exact, k);
      better += other > exact || (other == exact && id[k] < own) ? 1 : 0;
    }
    float divisor = 1.0F;
    if constexpr (config.norm != norm_fn::none) {
      if (counts) ranked[better] = score;
      __syncwarp();
      float total = 0.0F;
#pragma unroll
      for (int k = 0; k < top_k; ++k) total = plain_sum(total, ranked[k]);
      divisor = scores<L>::divisor_of(total);
    }
    if (counts) {
      ids[better] = own;
      weights[better] = scores<L>::weight(score, divisor);
    }
    return true;
  }

 private:
  /// ordered_key of what is no NaN, apart from −0.
  __device__ static std::uint32_t key_of(float v) {
    std::uint32_t const u = to_bits(v);
    return u ^ (static_cast<std::uint32_t>(static_cast<std::int32_t>(u) >> 31) | 0x80000000U);
  }
  __device__ static float value_of(std::uint32_t key) { return score_of(key); }

  __device__ static std::uint32_t larger(std::uint32_t a, std::uint32_t b) { return a > b ? a : b; }
  __device__ static std::uint32_t smaller(std::uint32_t a, std::uint32_t b) { return a < b ? a : b; }

  /// Whether this lane's group is one of the best; `certain` is false where its rank might be another.
  __device__ static bool keeps_group(std::uint32_t const (&key)[each], bool& certain) {
    std::uint32_t first = no_key, second = no_key;
#pragma unroll
    for (int j = 0; j < each; ++j) {
      second = larger(second, smaller(first, key[j]));
      first = larger(first, key[j]);
    }
#pragma unroll
    for (int across = 1; across < lanes_a_group; across *= 2) {
      std::uint32_t const f = ::__shfl_xor_sync(~0U, first, across), s = ::__shfl_xor_sync(~0U, second, across);
      second = larger(smaller(first, f), larger(second, s));
      first = larger(first, f);
    }
    float value = value_of(first), off = doubt(value);
    if constexpr (config.group_score == group_score_fn::top2_sum) {
      off = off + doubt(value_of(second));
      value = value + value_of(second);
      off = fma(from_bits(abs_bits(value)), 0x1p-22F, off);
    }
    int better = 0;
#pragma unroll
    for (int g = 0; g < config.n_group; ++g) better += ::__shfl_sync(~0U, value, g * lanes_a_group) > value ? 1 : 0;
    bool const kept = better < config.topk_group;  // of equal groups none is better: then there may be more of them
    unsigned const keepers = ::__ballot_sync(~0U, kept);
    std::uint32_t const least_in = ::__reduce_min_sync(~0U, kept ? key_of(value - off) : ~0U);
    std::uint32_t const most_out = ::__reduce_max_sync(~0U, kept ? 0U : key_of(value + off));
    certain = least_in > most_out && __popc(keepers) == config.topk_group * lanes_a_group;
    return kept;
  }
};

}  // namespace moesaic::inline MOESAIC_ABI::cuda::detail
