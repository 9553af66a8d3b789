// The grouped GEMM on packed weights with fp32 accumulation: a skinny kernel that decodes weights in registers, for the few rows an expert
// has in decode, and a panel kernel that decodes them to L1 once, for more. Both add in the same order, so a row's bits never show which.
#pragma once

#include <cstdint>
#include <type_traits>

#include <moesaic/core/views.hpp>
#include <moesaic/cpu/decode.hpp>
#include <moesaic/cpu/pack.hpp>
#include <moesaic/cpu/pool.hpp>
#include <moesaic/semantics/gemm.hpp>
#include <moesaic/tune/cpu_gemm.hpp>

namespace moesaic::inline MOESAIC_ABI::cpu {

namespace detail {

/// Groups in one 128-column block, and the unit of prefetching.
inline constexpr int block_groups = scale_block / group_columns;
inline constexpr int prefetch_unit = 16;

/// Packed codes of T strips side by side, decoded as they are read. `ahead[t]`: what to ask memory for meanwhile.
template <weight_format F, int T>
struct code_source {
  weight_code_t<F> const* code[T];
  weight_code_t<F> const* ahead[T];

  MOESAIC_INLINE void load(int t, int g, vec* w) const {
    for (int line = 0; line < static_cast<int>(sizeof(weight_code_t<F>)); ++line)
      __builtin_prefetch(reinterpret_cast<char const*>(ahead[t] + g * group_elements) + line * 64, 0, 3);
    group_decoder<F>::load(code[t] + g * group_elements, w);
  }
};

/// Decoded panels of T strips in L1. `ahead`: what to ask memory for meanwhile, a cache line for each group.
template <int T>
struct panel_source {
  vec const* panel[T];
  char const* ahead;

  MOESAIC_INLINE void load(int t, int g, vec* w) const {
    if (t == 0) __builtin_prefetch(ahead + g * 64, 0, 3);
    for (int i = 0; i < group_vectors; ++i) w[i] = panel[t][g * group_vectors + i];
  }
};

/// sum[r][t] += groups [0, groups) of strip t times the same columns of row a[r], columns ascending.
template <class Decoder, int R, int T, class Source>
MOESAIC_INLINE void add_groups(Source const& from, float const* const* a, int groups, vec (&sum)[R][T][strip_sums]) {
  for (int g = 0; g < groups; ++g) {
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) {
      vec w[group_vectors];
      from.load(t, g, w);
#pragma GCC unroll 16
      for (int i = 0; i < group_vectors; ++i)
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r)
          sum[r][t][i % strip_sums] = Decoder::multiplier(a[r] + g * group_columns, i) * w[i] + sum[r][t][i % strip_sums];
    }
  }
}

/// total += sum · scale, one fma each.
template <int R, int T>
MOESAIC_INLINE void promote(vec const (&sum)[R][T][strip_sums], float const* scale, vec (*total)[T][strip_sums]) {
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    vec const s = broadcast(scale[r]);
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t)
#pragma GCC unroll 8
      for (int i = 0; i < strip_sums; ++i) total[r][t][i] = sum[r][t][i] * s + total[r][t][i];
  }
}

/// Columns of row r from `first` on, as a GEMM multiplies them: in place, or decoded or padded to whole groups in `buffer`.
MOESAIC_INLINE float const* row_block(f32_rows const& rows, std::int64_t r, std::int64_t first, std::int64_t depth, float* buffer) {
  float const* const at = rows.row(r) + first;
  if (depth % group_columns == 0) return at;
  for (std::int64_t i = 0; i < align_up(depth, group_columns); ++i) buffer[i] = i < depth ? at[i] : 0.0F;
  return buffer;
}
template <class Scale>
MOESAIC_INLINE float const* row_block(quantized_rows<Scale> const& rows, std::int64_t r, std::int64_t first, std::int64_t depth,
                                      float* buffer) {
  std::uint8_t const* const code = rows.codes + r * rows.cols + first;
  for (std::int64_t i = 0; i < depth; ++i) buffer[i] = e4m3_to_float(code[i]);
  for (std::int64_t i = depth; i < align_up(depth, group_columns); ++i) buffer[i] = 0.0F;
  return buffer;
}

/// Some rows times some strips of one expert's weights; `source`: where each row lies in a.
template <class Rows, weight_format F>
struct strip_job {
  Rows const& a;
  std::int64_t const* source;
  packed_matrices<F> const& w;
  std::int64_t expert;

  std::int64_t columns(std::int64_t block) const {
    std::int64_t const left = w.k - block * scale_block;
    return left < scale_block ? left : scale_block;
  }
  int groups(std::int64_t block) const { return static_cast<int>(ceil_div(columns(block), group_columns)); }
  float weight_scale(std::int64_t s, std::int64_t block) const {
    float scale = group_decoder<F>::unit;
    if constexpr (F == weight_format::e4m3_128x128) scale *= w.grid_row(expert, s * strip / scale_block)[block];
    return scale;
  }
  /// Where R rows from `row` on lie and what their products are scaled by, in one block.
  template <int R>
  MOESAIC_INLINE void rows(int row, std::int64_t block, float weight_scale, float const** at, float* scale,
                           float (&buffer)[R][scale_block]) const {
    for (int r = 0; r < R; ++r) {
      at[r] = row_block(a, source[row + r], block * scale_block, columns(block), buffer[r]);
      scale[r] = row_scale(a, source[row + r], block) * weight_scale;
    }
  }
};

/// out[r][0 … 16 T) from the sums of `rows` rows and T strips.
template <weight_format F, int T>
MOESAIC_INLINE void finish(int rows, vec const (*total)[T][strip_sums], float* out, int stride) {
  for (int r = 0; r < rows; ++r)
    for (int t = 0; t < T; ++t) group_decoder<F>::finish(total[r][t], out + r * stride + t * strip);
}

/// out[r][0 … 16 T) for R rows and strips s … s + T − 1; `next`: the strip that will be read after strip s + T − 1.
template <tune::cpu_gemm_policy Policy, int R, int T, class Rows, weight_format F>
void multiply_skinny(strip_job<Rows, F> const& job, std::int64_t s, weight_code_t<F> const* next, float* out, int stride) {
  constexpr std::int64_t ahead = Policy.prefetch_groups;
  std::int64_t const all = job.w.groups();
  vec total[R][T][strip_sums] = {};
  for (std::int64_t b = 0; b * scale_block < job.w.k; ++b) {
    float const* a[R];
    float scale[R];
    alignas(64) float buffer[R][scale_block];
    job.template rows<R>(0, b, job.weight_scale(s, b), a, scale, buffer);
    vec sum[R][T][strip_sums] = {};
    int const groups = job.groups(b);
    for (int g = 0; g < groups; g += prefetch_unit) {
      code_source<F, T> from;
      std::int64_t const at = b * block_groups + g, wanted = at + ahead;
      for (int t = 0; t < T; ++t) {
        from.code[t] = job.w.strip_codes(job.expert, s + t) + at * group_elements;
        from.ahead[t] = wanted < all ? from.code[t] + ahead * group_elements : next + (t * all + wanted - all) * group_elements;
      }
      float const* here[R];
      for (int r = 0; r < R; ++r) here[r] = a[r] + g * group_columns;
      add_groups<group_decoder<F>>(from, here, groups - g < prefetch_unit ? groups - g : prefetch_unit, sum);
    }
    promote<R, T>(sum, scale, total);
  }
  finish<F, T>(R, total, out, stride);
}

/// Strips side by side for R rows: as many as their sums leave registers for.
constexpr int strips_for(tune::cpu_gemm_policy p, int rows) {
  return 4 * rows * strip_sums <= p.sums ? 4 : 2 * rows * strip_sums <= p.sums ? 2 : 1;
}

/// f<T>(s) for the strips [s0, s1), T at a time, then one at a time.
template <int T, class F>
MOESAIC_INLINE void for_each_strips(std::int64_t s0, std::int64_t s1, F const& f) {
  std::int64_t s = s0;
  for (; s + T <= s1; s += T) f(std::integral_constant<int, T>{}, s);
  if constexpr (T > 1)
    for (; s < s1; ++s) f(std::integral_constant<int, 1>{}, s);
}

/// R rows from `row` on times a decoded panel of T strips.
template <int R, int T, class Rows, weight_format F>
void multiply_tile(strip_job<Rows, F> const& job, int row, std::int64_t b, float weight_scale, panel_source<T> const& from,
                   vec (*total)[T][strip_sums]) {
  float const* a[R];
  float scale[R];
  alignas(64) float buffer[R][scale_block];
  job.template rows<R>(row, b, weight_scale, a, scale, buffer);
  vec sum[R][T][strip_sums] = {};
  add_groups<group_decoder<F>>(from, a, job.groups(b), sum);
  promote<R, T>(sum, scale, total);
}

/// f(R as a type) for rows = R in 1 … Most; whether that was so.
template <int Most, class F>
MOESAIC_INLINE bool with_rows(int rows, F const& f) {
  if constexpr (Most == 0) {
    return false;
  } else {
    if (rows != Most) return with_rows<Most - 1>(rows, f);
    f(std::integral_constant<int, Most>{});
    return true;
  }
}

/// out[r][0 … 16 T) for up to panel_rows rows.
template <tune::cpu_gemm_policy Policy, int T, class Rows, weight_format F>
void multiply_panel(int rows, strip_job<Rows, F> const& job, std::int64_t s, weight_code_t<F> const* next, float* out, int stride) {
  std::int64_t const all = job.w.groups();
  alignas(64) vec panel[T][block_groups * group_vectors];
  vec total[Policy.panel_rows][T][strip_sums];
  for (int r = 0; r < rows; ++r)
    for (int t = 0; t < T; ++t)
      for (int i = 0; i < strip_sums; ++i) total[r][t][i] = vec{};
  for (std::int64_t b = 0; b * scale_block < job.w.k; ++b) {
    int const groups = job.groups(b);
    std::int64_t const at = b * block_groups, wanted = at + block_groups;
    panel_source<T> decoded;
    char const* ahead[T];
    for (int t = 0; t < T; ++t) {
      weight_code_t<F> const* const code = job.w.strip_codes(job.expert, s + t) + at * group_elements;
      for (int g = 0; g < groups; ++g) group_decoder<F>::load(code + g * group_elements, panel[t] + g * group_vectors);
      decoded.panel[t] = panel[t];
      ahead[t] = reinterpret_cast<char const*>(wanted < all ? code + block_groups * group_elements
                                                            : next + (t * all + wanted - all) * group_elements);
    }
    float const scale = job.weight_scale(s, b);
    // Tiles of nearly equal height: a last tile of one row would wait for its own sums. Each asks for a part of the next block, at the pace
    // of the sums: asking for all of it at once would wait for memory.
    int const tiles = (rows + Policy.panel_tile - 1) / Policy.panel_tile;
    for (int i = 0; i < tiles; ++i) {
      int const row = rows * i / tiles;
      constexpr int lines = static_cast<int>(sizeof(weight_code_t<F>));  // for each group and strip
      decoded.ahead = ahead[i / lines % T] + i % lines * (64 * block_groups);
      with_rows<Policy.panel_tile>(rows * (i + 1) / tiles - row,
                                   [&](auto r) { multiply_tile<decltype(r)::value, T>(job, row, b, scale, decoded, total + row); });
    }
  }
  finish<F, T>(rows, total, out, stride);
}

/// out[r][(s − s0) · 16 …) for the strips [s0, s1), at most eight, of expert e and the rows [first_row, first_row + rows).
template <tune::cpu_gemm_policy Policy, class Rows, weight_format F>
void multiply_strips(int rows, gemm_input<Rows> const& a, packed_matrices<F> const& w, std::int64_t e, std::int64_t s0, std::int64_t s1,
                     std::int64_t first_row, float (*out)[scale_block]) {
  std::int64_t source[Policy.panel_rows];
  for (int r = 0; r < rows; ++r) source[r] = a.source(first_row + r);
  strip_job<Rows, F> const job{a.rows, source, w, e};
  // Behind the last strip there may be no memory to ask for: then this strip's again.
  auto const next = [&](std::int64_t s, int strips) { return w.strip_codes(e, s + 2 * strips <= w.strips() ? s + strips : s); };
  auto const skinny = [&](auto r) {
    constexpr int R = decltype(r)::value;
    for_each_strips<strips_for(Policy, R)>(s0, s1, [&](auto t, std::int64_t s) {
      constexpr int T = decltype(t)::value;
      multiply_skinny<Policy, R, T>(job, s, next(s, T), out[0] + (s - s0) * strip, scale_block);
    });
  };
  if (with_rows<Policy.skinny_rows>(rows, skinny)) return;
  for_each_strips<strips_for(Policy, Policy.panel_tile)>(s0, s1, [&](auto t, std::int64_t s) {
    constexpr int T = decltype(t)::value;
    multiply_panel<Policy, T>(rows, job, s, next(s, T), out[0] + (s - s0) * strip, scale_block);
  });
}

/// One item of work for each expert and 128 weight rows (8 strips, one row of the scale grid): f(expert, first strip, end of strips, first
/// row, rows), the rows in panels.
template <tune::cpu_gemm_policy Policy, weight_format F, class P, class Panel>
void for_each_panel(P& threads, packed_matrices<F> const& w, std::int32_t const* expert_offsets, std::int64_t all_rows, Panel const& f) {
  constexpr std::int64_t strips_per_item = scale_block / strip;
  std::int64_t const items = ceil_div(w.strips(), strips_per_item);
  threads.parallel_for(w.experts * items, [&](std::int64_t item) {
    std::int64_t const e = item / items;
    std::int64_t const first = expert_offsets != nullptr ? expert_offsets[e] : 0;
    std::int64_t const last = expert_offsets != nullptr ? expert_offsets[e + 1] : all_rows;
    std::int64_t const s0 = item % items * strips_per_item;
    std::int64_t const s1 = s0 + strips_per_item < w.strips() ? s0 + strips_per_item : w.strips();
    for (std::int64_t row = first; row < last; row += Policy.panel_rows)
      f(e, s0, s1, row, static_cast<int>(last - row < Policy.panel_rows ? last - row : Policy.panel_rows));
  });
}

}  // namespace detail

/// out.row(r) = a.row(source of r) · W_eᵀ for every row r of every expert e. Each output is Σ_b scale_b · (the even columns of block b,
/// added in ascending order by fma) plus the same of the odd columns: deterministic, batch-invariant, and the same on every instruction set
/// with fma. Relative RMS error against float64 at most 2.5e-7 (bound of tests/conformance).
template <tune::cpu_gemm_policy Policy = tune::select(tune::native_registers), class Rows, weight_format F, pool P>
void grouped_gemm(P& threads, gemm_input<Rows> const& a, packed_matrices<F> const& w, std::int32_t const* expert_offsets,
                  matrix_view<float> out) {
  detail::for_each_panel<Policy>(threads, w, expert_offsets, out.rows, [&](auto e, auto s0, auto s1, auto first, int rows) {
    alignas(64) float c[Policy.panel_rows][scale_block];
    detail::multiply_strips<Policy>(rows, a, w, e, s0, s1, first, c);
    std::int64_t const n0 = s0 * strip;
    std::int64_t const width = w.n - n0 < scale_block ? w.n - n0 : scale_block;
    for (int r = 0; r < rows; ++r)
      for (std::int64_t n = 0; n < width; ++n) out(first + r, n0 + n) = c[r][n];
  });
}

}  // namespace moesaic::inline MOESAIC_ABI::cpu
