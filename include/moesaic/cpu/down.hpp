// The step down with the weighted sum of a token's expert rows behind it, in one pass over the weights.
#pragma once

#include <cstdint>

#include <moesaic/cpu/gemm.hpp>
#include <moesaic/semantics/combine.hpp>

namespace moesaic::inline MOESAIC_ABI::cpu {

/// partials.row(r) = hidden.row(r) · downᵀ for the rows of every group, then y = combine of them: the bits of grouped_gemm and combine_row,
/// which reads the partials. An item is 128 columns of all groups, so it may add up what it has multiplied; its weights are one stream from
/// group to group, always asked for ahead. hidden [rows, I] blocked_rows of the policy's engine, sorted by group, are read once for each
/// item: for few rows, that stay in a cache. Deterministic, batch-invariant. Unchecked: forward's arguments are.
template <tune::cpu_gemm_policy Policy, class Rows, class Weights, pool P, class Y>
void down_and_combine(P& threads, gemm_input<Rows> const& hidden, detail::expert_groups<Weights> const& groups,
                      matrix_view<float> const& partials, combine_row<Y, float> const& combine) {
  using strips_type = detail::expert_strips<Weights, 1>;
  std::int64_t const strips = ceil_div(partials.cols, strip);
  threads.parallel_for(ceil_div(strips, detail::grid_strips), [&](std::int64_t item) {
    std::int64_t const s0 = item * detail::grid_strips, s1 = s0 + detail::grid_strips < strips ? s0 + detail::grid_strips : strips;
    auto const first_with_rows = [&](std::int64_t g) {
      while (g < groups.count() && groups.first(g) == groups.last(g)) ++g;
      return g;
    };
    bool asked = false;
    for (std::int64_t g = first_with_rows(0), next; g < groups.count(); g = next) {
      next = first_with_rows(g + 1);
      std::int64_t const last = groups.last(g);
      strips_type const w = groups.strips(g);
      // The item that follows in memory begins where this one ends.
      detail::strip_place<strips_type> const again{w, s0},
          after = next < groups.count() ? detail::strip_place<strips_type>{groups.strips(next), s0}
                                        : detail::strip_place<strips_type>{groups.strips(first_with_rows(0)), s1};
      detail::for_each_panel<Policy>(groups.first(g), last, [&](std::int64_t row, int rows) {
        detail::multiply_columns<Policy>(rows, hidden, w, s0, s1, row, partials, row + rows < last ? &again : &after, asked);
        asked = true;
      });
    }
    std::int64_t const n0 = s0 * strip, n1 = s1 * strip < partials.cols ? s1 * strip : partials.cols;
    for (std::int64_t t = 0; t < combine.y.rows; ++t) combine.columns(serial_group{}, t, n0, n1);
  });
}

}  // namespace moesaic::inline MOESAIC_ABI::cpu
