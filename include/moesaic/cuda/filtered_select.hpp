// Which experts a sigmoid router selects, found by estimates of the scores. Those that the estimates leave in question are compared
// exactly, and no others: the bits are what they are when all is exact (select.hpp), which is also what happens where too many are in
// question.
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
    sort_descending(key, std::make_integer_sequence<int, exchanges_of_sort(each)>{});

    if constexpr (groups_compete) {
      bool certain;
      bool kept = keeps_group(key, certain);
      if (!certain) kept = keeps_group_exactly(key, lane, logits, bias, certain);
      if (!certain) return false;
      if (!kept) key[0] = no_key;
    }

    // The best of every lane's best, again and again: a lane whose best is taken goes on with its next. Lane k has the k-th. Where those
    // behind the last might be better than it, they are taken too.
    std::int32_t id[top_k], own = 0;
    std::uint32_t last = no_key, next = no_key;
#pragma unroll
    for (int k = 0; k < top_k; ++k) {
      last = ::__reduce_max_sync(~0U, key[0]);
      id[k] = take(key, last, lane);
      if (lane == k) own = id[k];
    }
    if (last == no_key) return false;
    int taken = top_k;
    float const least = score_of(last) - doubt(score_of(last));
    for (;;) {
      next = ::__reduce_max_sync(~0U, key[0]);
      if (next == no_key || score_of(next) + doubt(score_of(next)) < least) break;
      if (taken == 32) return false;
      std::int32_t const another = take(key, next, lane);
      if (lane == taken) own = another;
      ++taken;
    }

    // Now exactly, and in exact order.
    float score = 0.0F;
    std::uint32_t const exact = exact_key(lane < taken, own, logits, bias, score);
    int better = 0;
#pragma unroll
    for (int k = 0; k < top_k; ++k) {
      std::uint32_t const other = ::__shfl_sync(~0U, exact, k);
      better += other > exact || (other == exact && id[k] < own) ? 1 : 0;
    }
    for (int k = top_k; k < taken; ++k) {
      std::uint32_t const other = ::__shfl_sync(~0U, exact, k);
      std::int32_t const its = ::__shfl_sync(~0U, own, k);
      better += other > exact || (other == exact && its < own) ? 1 : 0;
    }
    bool const selected = lane < taken && better < top_k;
    float divisor = 1.0F;
    if constexpr (config.norm != norm_fn::none) {
      if (selected) ranked[better] = score;
      __syncwarp();
      float total = 0.0F;
#pragma unroll
      for (int k = 0; k < top_k; ++k) total = plain_sum(total, ranked[k]);
      divisor = scores<L>::divisor_of(total);
    }
    if (selected) {
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

  __device__ static std::uint32_t larger(std::uint32_t a, std::uint32_t b) { return a > b ? a : b; }
  __device__ static std::uint32_t smaller(std::uint32_t a, std::uint32_t b) { return a < b ? a : b; }

  /// Takes the choice with this key, the lowest lane's if several have it; answers which choice that is.
  __device__ static std::int32_t take(std::uint32_t (&key)[each], std::uint32_t best, int lane) {
    int const owner = __ffs(static_cast<int>(::__ballot_sync(~0U, key[0] == best))) - 1;
    bool const mine = lane == owner;
#pragma unroll
    for (int j = 0; j < each; ++j) key[j] = mine ? (j + 1 < each ? key[j + 1] : no_key) : key[j];
    return owner * each + static_cast<std::int32_t>(best & index_mask);
  }

  /// The score of choice e and its ordered_key, bias added; no key if not `wanted`.
  __device__ static std::uint32_t exact_key(bool wanted, std::int32_t e, float const* logits, float const* bias, float& score) {
    float const logit = wanted ? logits[e] : 0.0F;
    float const added = config.bias && wanted ? bias[e] : 0.0F;
    __syncwarp();  // both loads before the arithmetic, whose branches the compiler does not move them across
    score = scores<L>::from_logit(logit);
    return !wanted ? no_key : config.bias ? ordered_key(plain_sum(score, added)) : ordered_key(score);
  }

  /// The two best of a lane → of its group.
  __device__ static void merge_group(std::uint32_t& first, std::uint32_t& second) {
#pragma unroll
    for (int across = 1; across < lanes_a_group; across *= 2) {
      std::uint32_t const f = ::__shfl_xor_sync(~0U, first, across), s = ::__shfl_xor_sync(~0U, second, across);
      second = larger(smaller(first, f), larger(second, s));
      first = larger(first, f);
    }
  }

  /// Whether this lane's group is one of the best, if sorted estimates can say so; `certain` is for all lanes.
  __device__ static bool keeps_group(std::uint32_t const (&key)[each], bool& certain) {
    std::uint32_t first = key[0], second = each > 1 ? key[each > 1 ? 1 : 0] : no_key;
    merge_group(first, second);
    float value = score_of(first), off = doubt(value);
    if constexpr (config.group_score == group_score_fn::top2_sum) {
      off = off + doubt(score_of(second));
      value = value + score_of(second);
      off = fma(from_bits(abs_bits(value)), 0x1p-22F, off);
    }
    int better = 0;
#pragma unroll
    for (int g = 0; g < config.n_group; ++g) better += ::__shfl_sync(~0U, value, g * lanes_a_group) > value ? 1 : 0;
    bool const kept = better < config.topk_group;  // of equal groups none is better: then there may be more of them
    std::uint32_t const least_in = ::__reduce_min_sync(~0U, kept ? key_of(value - off) : ~0U);
    std::uint32_t const most_out = ::__reduce_max_sync(~0U, kept ? 0U : key_of(value + off));
    certain = least_in > most_out && __popc(::__ballot_sync(~0U, kept)) == config.topk_group * lanes_a_group;
    return kept;
  }

  /// The same from the exact keys of every lane's two best, if the estimates say which these are.
  __device__ static bool keeps_group_exactly(std::uint32_t const (&key)[each], int lane, float const* logits, float const* bias,
                                             bool& certain) {
    certain = true;
    if constexpr (each > 2) {
      float const low = score_of(key[1]), high = score_of(key[2]);
      certain = ::__all_sync(~0U, low - doubt(low) > high + doubt(high));
      if (!certain) return false;
    }
    float unused;
    std::uint32_t const a = exact_key(true, lane * each + static_cast<std::int32_t>(key[0] & index_mask), logits, bias, unused);
    std::uint32_t b = no_key;
    if constexpr (each > 1) b = exact_key(true, lane * each + static_cast<std::int32_t>(key[1] & index_mask), logits, bias, unused);
    std::uint32_t first = larger(a, b), second = smaller(a, b);
    merge_group(first, second);
    std::uint32_t const mine = select_experts<L>::group_key(first, second);
    int better = 0;
#pragma unroll
    for (int g = 0; g < config.n_group; ++g) {
      std::uint32_t const other = ::__shfl_sync(~0U, mine, g * lanes_a_group);
      better += other > mine || (other == mine && g < lane / lanes_a_group) ? 1 : 0;
    }
    return better < config.topk_group;
  }
};

}  // namespace moesaic::inline MOESAIC_ABI::cuda::detail
