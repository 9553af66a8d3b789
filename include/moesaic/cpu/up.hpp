// The step up: gate and up GEMMs with the activation in their epilogue, so that neither product goes through memory.
#pragma once

#include <cstdint>

#include <moesaic/cpu/gemm.hpp>
#include <moesaic/cpu/rows.hpp>
#include <moesaic/semantics/activation.hpp>

namespace moesaic::inline MOESAIC_ABI::cpu {

/// out.row(r) = the activation of x.row(r) · gateᵀ and x.row(r) · upᵀ for the rows r of every group, rounded or quantised to F. The bits of
/// grouped_gemm twice and activation: the same order of addition, the same functions. An activation without gate has groups of one matrix,
/// up, others of two of one format, gate and up, [experts][I, H]; their strips are read by turns. x [rows, H] and out [rows, I]
/// blocked_rows of the policy's engine, sorted by group. Deterministic, batch-invariant. Unchecked: forward's arguments are.
template <activation_format F, tune::cpu_gemm_policy Policy, class Rows, class Weights, int Matrices, pool P, activation_fn A, class Terms,
          class Hidden>
void up(P& threads, gemm_input<Rows> const& x, detail::expert_groups<Weights, Matrices> const& groups,
        activation_rule<A, Terms> const& rule, Hidden const& out) {
  static_assert(Matrices == (is_gated(A) ? 2 : 1));
  constexpr int columns = Matrices * scale_block;
  std::int64_t const inter = groups.routed[0]->n;
  auto const item = [&](auto const& w, auto s0, auto s1, auto first, int rows) {
    alignas(64) float product[Policy.panel_rows][columns];
    detail::multiply_strips<Policy>(rows, x, w, Matrices * s0, Matrices * s1, first, product[0], columns);
    std::int64_t const n0 = s0 * strip;
    int const width = static_cast<int>(inter - n0 < scale_block ? inter - n0 : scale_block);
    for (int r = 0; r < rows; ++r) {
      alignas(64) float hidden[scale_block];
      auto const value = rule.of_row(first + r - groups.shared_rows, inter);
      for (int n = 0; n < width; n += strip) {
        float const *const gate = product[r] + Matrices * n, *const up = gate + (Matrices - 1) * strip;
        if (width - n >= strip)
          for (int i = 0; i < strip; ++i) hidden[n + i] = value(gate, up, i, n0 + n + i);
        else
          for (int i = 0; i < width - n; ++i) hidden[n + i] = value(gate, up, i, n0 + n + i);
      }
      for (int n = width; n < scale_block; ++n) hidden[n] = 0.0F;
      detail::store_block<F>(hidden, width, out, first + r, n0 / scale_block);
    }
  };
  detail::for_each_item<Policy>(threads, groups, detail::grid_strips, item);
}

}  // namespace moesaic::inline MOESAIC_ABI::cpu
