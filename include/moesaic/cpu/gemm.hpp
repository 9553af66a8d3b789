// The grouped GEMM of all engines. Skinny and panel kernel add in the same order, so a row's bits never show which it went through.
#pragma once

#include <cstdint>

#include <moesaic/core/views.hpp>
#include <moesaic/cpu/panel.hpp>
#include <moesaic/cpu/pool.hpp>
#include <moesaic/cpu/skinny.hpp>

namespace moesaic::inline MOESAIC_ABI::cpu {

namespace detail {

/// out[r · stride + (s − s0) · 16 …) for the rows [first_row, first_row + rows) and the strips [s0, s1). `after`: what is read next, null
/// if nobody knows. `asked`: whether memory has been asked for the beginning of this.
template <tune::cpu_gemm_policy Policy, class Rows, class Strips>
void multiply_strips(int rows, gemm_input<Rows> const& a, Strips const& w, std::int64_t s0, std::int64_t s1, std::int64_t first_row,
                     float* out, std::int64_t stride, strip_place<Strips> const* after = nullptr, bool asked = false) {
  using Engine = decltype(engine_of<Policy, Strips::format>());
  std::int64_t source[Policy.panel_rows];
  for (int r = 0; r < rows; ++r) source[r] = a.source(first_row + r);
  if (w.k() == 0) {  // nothing to add
    for (int r = 0; r < rows; ++r)
      for (std::int64_t n = 0; n < (s1 - s0) * strip; ++n) out[r * stride + n] = 0.0F;
    return;
  }
  strip_place<Strips> const next = after != nullptr ? *after : strip_place<Strips>{w, s0};
  strip_job<Engine, Rows, Strips> const job{a.rows, source, w};
  if constexpr (Strips::packed && !has_tiles<Engine>) {
    auto const skinny = [&](auto r) {
      constexpr int R = decltype(r)::value;
      constexpr std::size_t lines = Policy.prefetch_groups * sizeof(typename Strips::code);
      for (int t = 0; !asked && t < strips_for<Engine>(Policy.skinny_sums, R) && s0 + t < s1; ++t)
        for (std::size_t line = 0; line < lines; ++line)
          __builtin_prefetch(reinterpret_cast<char const*>(w.codes(s0 + t)) + line * 64, 0, 3);
      multiply_skinny_strips<Policy, R>(job, s0, s1, next, out, stride);
    };
    if (with_rows<Policy.skinny_rows>(rows, skinny)) return;
  }
  constexpr int side_by_side = strips_for<Engine>(Policy.panel_sums, Policy.panel_tile);
  std::int64_t const whole = s0 + (s1 - s0) / side_by_side * side_by_side;
  strip_place<Strips> const rest{w, whole};
  if (whole > s0) multiply_panel<Policy, side_by_side>(rows, job, s0, whole, whole < s1 ? rest : next, out, stride);
  if (s1 > whole) multiply_panel<Policy, 1>(rows, job, whole, s1, next, out + (whole - s0) * strip, stride);
}

/// The same into rows of `out` that have w.n columns: the last strip may not be all there.
template <tune::cpu_gemm_policy Policy, class Rows, class Strips>
void multiply_columns(int rows, gemm_input<Rows> const& a, Strips const& w, std::int64_t s0, std::int64_t s1, std::int64_t first_row,
                      matrix_view<float> const& out, strip_place<Strips> const* after = nullptr, bool asked = false) {
  static_assert(Strips::matrices == 1);
  std::int64_t const whole = s1 * strip <= out.cols ? s1 : s1 - 1;
  if (whole > s0)
    multiply_strips<Policy>(rows, a, w, s0, whole, first_row, out.row(first_row) + s0 * strip, out.stride, whole == s1 ? after : nullptr,
                            asked);
  if (whole == s1) return;
  alignas(64) float c[Policy.panel_rows][strip];
  multiply_strips<Policy>(rows, a, w, whole, s1, first_row, c[0], strip, after, asked && whole == s0);
  for (int r = 0; r < rows; ++r)
    for (std::int64_t n = whole * strip; n < out.cols; ++n) out(first_row + r, n) = c[r][n - whole * strip];
}

/// The groups of a step and their rows: the shared expert's in front, if it is run along, then each expert's.
template <class Weights, int Matrices = 1>
struct expert_groups {
  Weights const* routed[Matrices];
  std::int32_t const* expert_offsets;  ///< null: all rows are expert 0's
  std::int64_t all_rows;
  Weights const* shared[Matrices] = {};
  std::int64_t shared_rows = 0;

  std::int64_t ahead() const { return shared[0] != nullptr ? 1 : 0; }
  std::int64_t count() const { return routed[0]->experts + ahead(); }
  std::int64_t first(std::int64_t g) const {
    std::int64_t const e = g - ahead();
    return e < 0 ? 0 : shared_rows + (expert_offsets != nullptr ? expert_offsets[e] : 0);
  }
  std::int64_t last(std::int64_t g) const {
    std::int64_t const e = g - ahead();
    return e < 0 ? shared_rows : expert_offsets != nullptr ? shared_rows + expert_offsets[e + 1] : all_rows;
  }
  expert_strips<Weights, Matrices> strips(std::int64_t g) const {
    std::int64_t const e = g - ahead();
    expert_strips<Weights, Matrices> s{{}, e < 0 ? 0 : e};
    for (int m = 0; m < Matrices; ++m) s.matrix[m] = e < 0 ? shared[m] : routed[m];
    return s;
  }
};

/// f(first row, rows) for panels of nearly equal height.
template <tune::cpu_gemm_policy Policy, class F>
MOESAIC_INLINE void for_each_panel(std::int64_t first, std::int64_t last, F const& f) {
  std::int64_t const panels = ceil_div(last - first, Policy.panel_rows);
  for (std::int64_t p = 0; p < panels; ++p) {
    std::int64_t const row = first + (last - first) * p / panels, end = first + (last - first) * (p + 1) / panels;
    f(row, static_cast<int>(end - row));
  }
}

/// One item of work for each group and so many strips of a matrix: f(strips, first strip, end of strips, first row, rows) for its panels.
template <tune::cpu_gemm_policy Policy, class Weights, int Matrices, class P, class Panel>
void for_each_item(P& threads, expert_groups<Weights, Matrices> const& groups, int strips_per_item, Panel const& f) {
  std::int64_t const strips = ceil_div(groups.routed[Matrices - 1]->n, strip), items = ceil_div(strips, strips_per_item);
  threads.parallel_for(groups.count() * items, [&](std::int64_t item) {
    std::int64_t const g = item / items, s0 = item % items * strips_per_item;
    std::int64_t const s1 = s0 + strips_per_item < strips ? s0 + strips_per_item : strips;
    auto const w = groups.strips(g);
    for_each_panel<Policy>(groups.first(g), groups.last(g), [&](std::int64_t row, int rows) { f(w, s0, s1, row, rows); });
  });
}

/// Strips of a row of the scale grid.
inline constexpr int grid_strips = scale_block / strip;

/// grouped_gemm of groups that may have the shared expert among them.
template <tune::cpu_gemm_policy Policy, class Rows, class Weights, class P>
void multiply_groups(P& threads, gemm_input<Rows> const& a, expert_groups<Weights> const& groups, matrix_view<float> const& out) {
  // One matrix of few rows, a router's, is little work for many threads: small items. Many experts with many rows: large ones, since an
  // item begins with weights that nobody has asked memory for.
  int const strips_per_item = groups.count() == 1 && out.rows <= 64   ? grid_strips / 4
                              : groups.count() > 1 && out.rows >= 256 ? 4 * grid_strips
                                                                      : grid_strips;
  for_each_item<Policy>(threads, groups, strips_per_item, [&](auto const& w, auto s0, auto s1, auto first, int rows) {
    multiply_columns<Policy>(rows, a, w, s0, s1, first, out);
  });
}

}  // namespace detail

/// out.row(r) = a.row(source of r) · W_eᵀ for every row r of every expert e. Rows: f32_rows or quantized_rows, gathered or not, or
/// blocked_rows of the policy's engine, sorted by expert. Weights: packed_matrices, or weight_matrices as a checkpoint has them, which
/// cost a packing of every block each time it is read. Deterministic, batch-invariant, the same bits for either. Each output is, by engine:
///  fp32_exact    Σ_b scale_b · (the even columns of block b, added in ascending order by fma) + the same of the odd columns: the same bits
///                on every instruction set with fma. Relative RMS error against float64 at most 2.5e-7
///  fp16_chunked  the same in fp16, promoted to fp32 every `promote` products: at most 1.66e-3
///  bf16_dot      Σ_b scale_b · (pairs of columns in ascending order, the odd one first, by fma): at most 2.5e-7 on what bf16 holds
///  amx_bf16      Σ_b scale_b · Σ of four (even columns of 32, ascending, by fma, + odd ones likewise): the same
template <tune::cpu_gemm_policy Policy, class Rows, template <weight_format> class Weights, weight_format F, pool P>
void grouped_gemm(P& threads, gemm_input<Rows> const& a, Weights<F> const& w, std::int32_t const* expert_offsets, matrix_view<float> out) {
  detail::multiply_groups<Policy>(threads, a, detail::expert_groups<Weights<F>>{{&w}, expert_offsets, out.rows}, out);
}

}  // namespace moesaic::inline MOESAIC_ABI::cpu
