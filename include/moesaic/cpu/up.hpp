// The step up: gate and up GEMMs with the activation in their epilogue, so that neither product goes through memory.
#pragma once

#include <cstdint>

#include <moesaic/cpu/gemm.hpp>
#include <moesaic/semantics/activation.hpp>

namespace moesaic::inline MOESAIC_ABI::cpu {

namespace detail {

/// Columns [first, first + width) of hidden row `row` from the fp32 values that the activation gave.
template <activation_format F>
void store_hidden(float* value, int width, std::int64_t row, std::int64_t first, matrix_view<float> const& out) {
  for (int c = 0; c < width; ++c) out(row, first + c) = round_to<F>(value[c]);
}
template <activation_format F, class Scale>
void store_hidden(float* value, int width, std::int64_t row, std::int64_t first, quantized_rows<Scale> const& out) {
  quantize_block(serial_group{}, value, width, out, row, first / scale_block);
}

}  // namespace detail

/// out.row(r) = the activation of x.row(source of r) · gate_eᵀ and x.row(source of r) · up_eᵀ for the rows r of every expert e, rounded or
/// quantised to F. The bits of grouped_gemm twice and activation: the same order of addition, the same functions. An activation without
/// gate leaves `gate` unread.
template <activation_format F, tune::cpu_gemm_policy Policy = tune::select(tune::native_registers), class Rows, weight_format W, pool P,
          activation_fn A, class Terms, class Hidden>
void up(P& threads, gemm_input<Rows> const& x, packed_matrices<W> const& gate, packed_matrices<W> const& up,
        std::int32_t const* expert_offsets, activation_rule<A, Terms> const& rule, Hidden const& out) {
  detail::for_each_panel<Policy>(threads, up, expert_offsets, out.rows, [&](auto e, auto s0, auto s1, auto first, int rows) {
    alignas(64) float g[Policy.panel_rows][scale_block], u[Policy.panel_rows][scale_block];
    if constexpr (is_gated(A)) detail::multiply_strips<Policy>(rows, x, gate, e, s0, s1, first, g);
    detail::multiply_strips<Policy>(rows, x, up, e, s0, s1, first, u);
    std::int64_t const n0 = s0 * strip;
    int const width = static_cast<int>(up.n - n0 < scale_block ? up.n - n0 : scale_block);
    for (int r = 0; r < rows; ++r) {
      auto const value = rule.of_row(first + r, up.n);
      for (int n = 0; n < width; ++n) u[r][n] = value(g[r], u[r], n, n0 + n);
      detail::store_hidden<F>(u[r], width, first + r, n0, out);
    }
  });
}

}  // namespace moesaic::inline MOESAIC_ABI::cpu
