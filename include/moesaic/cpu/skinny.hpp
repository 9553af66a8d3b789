// The skinny kernel, for the few rows that an expert has in decode: weights are decoded in registers and used at once.
#pragma once

#include <cstdint>
#include <type_traits>

#include <moesaic/cpu/strip_job.hpp>

namespace moesaic::inline MOESAIC_ABI::cpu::detail {

/// The unit of prefetching, in groups.
inline constexpr int prefetch_unit = 16;

/// sum[r][t] += groups [0, groups) of strip t times the same columns of row a[r], columns ascending; codes are decoded as they are read.
/// `ahead[t]`: what to ask memory for meanwhile.
template <class Engine, int R, int T, class Code>
MOESAIC_INLINE void add_decoding(Code const* const* code, Code const* const* ahead, block_of<Engine> a, int at, int groups,
                                 typename Engine::sum (&sum)[R][T][Engine::sums]) {
  constexpr int per_step = Engine::weights / Engine::steps;
  for (int g = 0; g < groups; ++g) {
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) {
      for (int line = 0; line < static_cast<int>(sizeof(Code)); ++line)
        __builtin_prefetch(reinterpret_cast<char const*>(ahead[t] + g * group_elements) + line * 64, 0, 3);
      typename Engine::weight w[Engine::weights];
      Engine::load(code[t] + g * group_elements, w);
#pragma GCC unroll 16
      for (int i = 0; i < Engine::weights; ++i)
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r)
          Engine::multiply_add(Engine::multiplier(a[r] + (at + g) * group_columns, i / per_step), w[i], sum[r][t][i % Engine::sums]);
    }
  }
}

/// out[r][0 … 16 T) for R rows and strips s … s + T − 1; `next`: the strips that will be read after them.
template <tune::cpu_gemm_policy Policy, int R, int T, class Engine, class Rows, class Strips>
void multiply_skinny(strip_job<Engine, Rows, Strips> const& job, std::int64_t s, strip_place<Strips> const& next, float* out,
                     std::int64_t stride) {
  using code = typename Strips::code;
  constexpr std::int64_t ahead = Policy.prefetch_groups;
  constexpr int unit = Engine::chunk < prefetch_unit ? Engine::chunk : prefetch_unit;
  std::int64_t const all = ceil_div(job.w.k(), group_columns);
  code const *here[T], *there[T];
  for (int t = 0; t < T; ++t) {
    here[t] = job.w.codes(s + t);
    there[t] = next.strips.codes(next.s + t) - all * group_elements;
  }
  vec total[R][T][Engine::totals] = {};
  for (std::int64_t b = 0; b * scale_block < job.w.k(); ++b) {
    float scale[strip_job<Engine, Rows, Strips>::template scales<T>][R];
    alignas(64) typename Engine::element buffer[R][scale_block];
    block_of<Engine> const a = job.gather(R, s, b, buffer, scale);
    int const groups = job.groups(b);
    for (int first = 0; first < groups; first += Engine::chunk) {
      typename Engine::sum sum[R][T][Engine::sums] = {};
      int const last = first + Engine::chunk < groups ? first + Engine::chunk : groups;
      for (int g = first; g < last; g += unit) {
        code const *codes[T], *wanted[T];
        std::int64_t const at = b * block_groups + g;
        for (int t = 0; t < T; ++t) {
          codes[t] = here[t] + at * group_elements;
          wanted[t] = (at + ahead < all ? here[t] : there[t]) + (at + ahead) * group_elements;
        }
        add_decoding<Engine>(codes, wanted, a, g, last - g < unit ? last - g : unit, sum);
      }
      promote<Engine>(sum, scale, 0, total);
    }
  }
  finish<Engine, T>(R, total, out, stride);
}

/// out[r · stride + (s − s0) · 16 …) for R rows and the strips [s0, s1).
template <tune::cpu_gemm_policy Policy, int R, class Engine, class Rows, class Strips>
void multiply_skinny_strips(strip_job<Engine, Rows, Strips> const& job, std::int64_t s0, std::int64_t s1, strip_place<Strips> const& after,
                            float* out, std::int64_t stride) {
  constexpr int T = strips_for<Engine>(Policy.skinny_sums, R);
  std::int64_t s = s0;
  for (; s + T <= s1; s += T)
    multiply_skinny<Policy, R, T>(job, s, s + 2 * T <= s1 ? strip_place<Strips>{job.w, s + T} : after, out + (s - s0) * strip, stride);
  if constexpr (T > 1)
    for (; s < s1; ++s)
      multiply_skinny<Policy, R, 1>(job, s, s + 2 <= s1 ? strip_place<Strips>{job.w, s + 1} : after, out + (s - s0) * strip, stride);
}

}  // namespace moesaic::inline MOESAIC_ABI::cpu::detail
