// The weighted sum of a token's expert rows: where unpermute and combine meet.
#pragma once

#include <cstdint>

#include <moesaic/num/convert.hpp>
#include <moesaic/num/fma.hpp>
#include <moesaic/semantics/group.hpp>
#include <moesaic/semantics/handoff.hpp>

namespace moesaic::inline MOESAIC_ABI {

/// y[t] = Σ_{k = 0 … K−1} weights[t, k] · partials[slot_to_row[t, k]], one fp32 fma a term, in slot order, starting from 0; then
/// + shared[t], then + residual[t], then one rounding to T. Slots without a row (−1) contribute nothing; shared and residual are left out
/// where their data is null. Deterministic: nothing depends on the order in which rows were computed.
template <class T>
struct combine_row {
  static constexpr int chunk = 64;
  struct scratch {};

  matrix_view<float const> partials;
  std::int32_t const* slot_to_row;
  float const* weights;
  int top_k;
  matrix_view<float const> shared;
  matrix_view<T const> residual;
  matrix_view<T> y;

  template <group G>
  MOESAIC_HD void operator()(G const& g, std::int64_t t, scratch&) const {
    combine_row const self = *this;
    g.for_each(static_cast<int>((y.cols + chunk - 1) / chunk), [self, t](int c) { self.columns(t, std::int64_t{c} * chunk); });
  }

 private:
  MOESAIC_HD void columns(std::int64_t t, std::int64_t first) const {
    if (first + chunk <= y.cols)
      sum(t, first, chunk);
    else
      sum(t, first, static_cast<int>(y.cols - first));
  }

  MOESAIC_INLINE void sum(std::int64_t t, std::int64_t first, int width) const {
    float acc[chunk] = {};
    for (int k = 0; k < top_k; ++k) {
      std::int32_t const row = slot_to_row[t * top_k + k];
      if (row < 0) continue;
      float const w = weights[t * top_k + k];
      float const* const p = partials.row(row) + first;
      for (int c = 0; c < width; ++c) acc[c] = fma(w, p[c], acc[c]);
    }
    if (shared.data != nullptr)
      for (int c = 0; c < width; ++c) acc[c] += shared(t, first + c);
    if (residual.data != nullptr)
      for (int c = 0; c < width; ++c) acc[c] += to_float(residual(t, first + c));
    T* const out = y.row(t) + first;
    for (int c = 0; c < width; ++c) out[c] = from_float<T>(acc[c]);
  }
};

}  // namespace moesaic::inline MOESAIC_ABI
