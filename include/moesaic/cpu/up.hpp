// The step up: gate and up GEMMs with the activation in their epilogue, so that neither product goes through memory.
#pragma once

#include <cstdint>

#include <moesaic/cpu/gemm.hpp>
#include <moesaic/cpu/rows.hpp>
#include <moesaic/semantics/activation.hpp>

namespace moesaic::inline MOESAIC_ABI::cpu {

/// out.row(r) = the activation of x.row(r) · gate_eᵀ and x.row(r) · up_eᵀ for the rows r of every expert e, rounded or quantised to F. The
/// bits of grouped_gemm twice and activation: the same order of addition, the same functions. An activation without gate leaves `gate`
/// unread. gate, up: [experts][I, H] of one format; x [rows, H] and out [rows, I] blocked_rows of the policy's engine, sorted by expert;
/// expert_offsets i32 [experts + 1], null: all rows are expert 0's. Deterministic, batch-invariant. Unchecked: forward's arguments are.
template <activation_format F, tune::cpu_gemm_policy Policy, class Rows, template <weight_format> class Weights, weight_format W, pool P,
          activation_fn A, class Terms, class Hidden>
void up(P& threads, gemm_input<Rows> const& x, Weights<W> const& gate, Weights<W> const& up, std::int32_t const* expert_offsets,
        activation_rule<A, Terms> const& rule, Hidden const& out) {
  auto const item = [&](auto e, auto s0, auto s1, auto first, int rows) {
    alignas(64) float g[Policy.panel_rows][scale_block], u[Policy.panel_rows][scale_block];
    if constexpr (is_gated(A)) detail::multiply_strips<Policy>(rows, x, gate, e, s0, s1, first, g[0], scale_block);
    detail::multiply_strips<Policy>(rows, x, up, e, s0, s1, first, u[0], scale_block);
    std::int64_t const n0 = s0 * strip;
    int const width = static_cast<int>(up.n - n0 < scale_block ? up.n - n0 : scale_block);
    for (int r = 0; r < rows; ++r) {
      auto const value = rule.of_row(first + r, up.n);
      for (int n = 0; n < width; ++n) u[r][n] = value(g[r], u[r], n, n0 + n);
      for (int n = width; n < scale_block; ++n) u[r][n] = 0.0F;
      detail::store_block<F>(u[r], width, out, first + r, n0 / scale_block);
    }
  };
  detail::for_each_panel<Policy>(threads, up, expert_offsets, out.rows, detail::grid_strips, item);
}

}  // namespace moesaic::inline MOESAIC_ABI::cpu
