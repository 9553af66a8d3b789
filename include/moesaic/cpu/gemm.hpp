// The grouped GEMM on packed weights: fp32 accumulation, weights decoded to fp32 once per panel, compiler vectors (no intrinsics).
#pragma once

#include <cstdint>

#include <moesaic/core/views.hpp>
#include <moesaic/cpu/pack.hpp>
#include <moesaic/cpu/pool.hpp>
#include <moesaic/semantics/gemm.hpp>
#include <moesaic/tune/cpu_gemm.hpp>

namespace moesaic::inline MOESAIC_ABI::cpu {

namespace detail {

inline constexpr int lanes = 16;
inline constexpr int vectors = strip / lanes;
using f32_lanes = float __attribute__((vector_size(lanes * sizeof(float)), may_alias));

/// `count` stored weights to fp32, without their scale. E4M3 is decoded by moving exponent and mantissa into place and adding the
/// difference of the biases; codes with exponent 0 get an implicit one that is subtracted again. So no denormal number ever occurs, and a
/// caller who has set flush-to-zero gets the same bits. NaN codes decode to ±480.
template <weight_format F>
MOESAIC_INLINE void decode(weight_code_t<F> const* from, float* to, std::int64_t count) {
  MOESAIC_SIMD
  for (std::int64_t i = 0; i < count; ++i) {
    if constexpr (F == weight_format::e4m3_128x128) {
      std::uint32_t const code = from[i];
      std::uint32_t const magnitude = (code & 0x7fU) << 20;
      std::uint32_t const subnormal = magnitude < (1U << 23) ? ~0U : 0U;
      std::uint32_t const shifted = magnitude + (120U << 23) + (subnormal & (1U << 23));
      float const value = from_bits(shifted) - from_bits(subnormal & (121U << 23));
      to[i] = from_bits(to_bits(value) | (code & 0x80U) << 24);
    } else {
      to[i] = to_float(from[i]);
    }
  }
}

/// c[r][0 … 32) += scale[r] · Σ_k a[r][k] · panel[k][0 … 32) for R rows. Each output adds its products in ascending k whatever R is:
/// that is what makes a token's bits independent of its batch.
template <int R>
MOESAIC_INLINE void multiply_rows(float const* const* a, float const* scale, float const* panel, std::int64_t k, float (*c)[strip]) {
  f32_lanes acc[R][vectors] = {};
  for (std::int64_t i = 0; i < k; ++i) {
    f32_lanes const* const w = reinterpret_cast<f32_lanes const*>(panel + i * strip);
    for (int r = 0; r < R; ++r)
      for (int v = 0; v < vectors; ++v) acc[r][v] = a[r][i] * w[v] + acc[r][v];
  }
  for (int r = 0; r < R; ++r)
    for (int v = 0; v < vectors; ++v) {
      f32_lanes& out = reinterpret_cast<f32_lanes*>(c[r])[v];
      out = acc[r][v] * scale[r] + out;
    }
}

/// multiply_rows for `rows` ≤ R rows.
template <int R>
MOESAIC_INLINE void multiply_up_to(int rows, float const* const* a, float const* scale, float const* panel, std::int64_t k,
                                   float (*c)[strip]) {
  if (rows == R)
    multiply_rows<R>(a, scale, panel, k, c);
  else if constexpr (R > 1)
    multiply_up_to<R - 1>(rows, a, scale, panel, k, c);
}

/// Columns [first, first + k) of row r in fp32, without their scale: in place, or decoded into `buffer`.
MOESAIC_INLINE float const* row_block(f32_rows const& rows, std::int64_t r, std::int64_t first, std::int64_t, float*) {
  return rows.row(r) + first;
}
template <class Scale>
MOESAIC_INLINE float const* row_block(quantized_rows<Scale> const& rows, std::int64_t r, std::int64_t first, std::int64_t k,
                                      float* buffer) {
  std::uint8_t const* const code = rows.codes + r * rows.cols + first;
  for (std::int64_t i = 0; i < k; ++i) buffer[i] = e4m3_to_float(code[i]);
  return buffer;
}

/// c[r][0 … 32) = row first_row + r of a times the 32 weight rows of strip s of expert e, for the rows [first_row, last_row), at most
/// Policy.panel_rows of them.
template <tune::cpu_gemm_policy Policy, class Rows, weight_format F>
void multiply_strip(gemm_input<Rows> const& a, packed_matrices<F> const& w, std::int64_t e, std::int64_t s, std::int64_t first_row,
                    std::int64_t last_row, float (*c)[strip]) {
  static_assert(Policy.rows > 0 && Policy.panel_rows % Policy.rows == 0, "a panel holds whole register tiles");
  alignas(64) float panel[scale_block * strip];
  float decoded_rows[Policy.rows][scale_block];
  int const rows = static_cast<int>(last_row - first_row);
  for (int r = 0; r < rows; ++r)
    for (int n = 0; n < strip; ++n) c[r][n] = 0.0F;
  weight_code_t<F> const* code = w.strip_codes(e, s);
  for (std::int64_t b = 0; b * scale_block < w.k; ++b) {
    std::int64_t const first = b * scale_block;
    std::int64_t const k = w.k - first < scale_block ? w.k - first : scale_block;
    decode<F>(code, panel, k * strip);
    code += k * strip;
    float weight_scale = 1.0F;
    if constexpr (F == weight_format::e4m3_128x128) weight_scale = w.grid_row(e, s * strip / scale_block)[b];
    for (int r = 0; r < rows; r += Policy.rows) {
      int const tile = rows - r < Policy.rows ? rows - r : Policy.rows;
      float const* source[Policy.rows];
      float scale[Policy.rows];
      for (int i = 0; i < tile; ++i) {
        std::int64_t const from = a.source(first_row + r + i);
        source[i] = row_block(a.rows, from, first, k, decoded_rows[i]);
        scale[i] = row_scale(a.rows, from, b) * weight_scale;
      }
      multiply_up_to<Policy.rows>(tile, source, scale, panel, k, c + r);
    }
  }
}

/// One item of work for each expert and 128 weight rows (4 strips, one row of the scale grid): f(expert, first strip, end of strips, first
/// row, end of rows), the rows in panels.
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
      f(e, s0, s1, row, row + Policy.panel_rows < last ? row + Policy.panel_rows : last);
  });
}

}  // namespace detail

/// out.row(r) = a.row(source of r) · W_eᵀ for every row r of every expert e. Deterministic and batch-invariant: each output is owned by one
/// item of work and adds in one fixed order. Relative RMS error against float64 at most 2.5e-7 (bound of
/// tests/conformance).
template <tune::cpu_gemm_policy Policy = tune::select(tune::native_registers), class Rows, weight_format F, pool P>
void grouped_gemm(P& threads, gemm_input<Rows> const& a, packed_matrices<F> const& w, std::int32_t const* expert_offsets,
                  matrix_view<float> out) {
  detail::for_each_panel<Policy>(threads, w, expert_offsets, out.rows, [&](auto e, auto s0, auto s1, auto first, auto last) {
    alignas(64) float c[Policy.panel_rows][strip];
    for (std::int64_t s = s0; s < s1; ++s) {
      detail::multiply_strip<Policy>(a, w, e, s, first, last, c);
      std::int64_t const n0 = s * strip;
      std::int64_t const width = w.n - n0 < strip ? w.n - n0 : strip;
      for (std::int64_t row = first; row < last; ++row)
        for (std::int64_t n = 0; n < width; ++n) out(row, n0 + n) = c[row - first][n];
    }
  });
}

}  // namespace moesaic::inline MOESAIC_ABI::cpu
