// The reference backend: one thread, the serial group, no packing. Slow on purpose and easy to read; the other backends are held to it.
#pragma once

#include <cstdint>

#include <moesaic/core/status.hpp>
#include <moesaic/semantics/gemm.hpp>
#include <moesaic/semantics/group.hpp>
#include <moesaic/semantics/unpacked_weights.hpp>

namespace moesaic::inline MOESAIC_ABI::reference {

/// The context of the reference backend. Prepared weights are the caller's own views, which therefore must stay alive.
struct on : unpacked_weights {
  /// f(group, i, scratch) for each i in [0, n).
  template <class F>
  status launch(std::int64_t n, F const& f) const {
    typename F::scratch scratch;
    for (std::int64_t i = 0; i < n; ++i) f(serial_group{}, i, scratch);
    return {};
  }

  /// out.row(r) = a.row(source of r) · W_eᵀ for every row r of every expert e; a null expert_offsets gives all rows to expert 0.
  template <class Rows, weight_format F>
  status grouped_gemm(gemm_input<Rows> const& a, weight_matrices<F> const& w, std::int32_t const* expert_offsets,
                      matrix_view<float> out) const {
    for (int e = 0; e < w.experts; ++e) {
      std::int64_t const first = expert_offsets != nullptr ? expert_offsets[e] : 0;
      std::int64_t const last = expert_offsets != nullptr ? expert_offsets[e + 1] : out.rows;
      for (std::int64_t row = first; row < last; ++row)
        for (std::int64_t n = 0; n < w.n; ++n) out(row, n) = gemm_element(a.rows, a.source(row), w, e, n);
    }
    return {};
  }
};

}  // namespace moesaic::inline MOESAIC_ABI::reference
