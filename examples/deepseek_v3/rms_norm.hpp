// RMSNorm: y = g ⊙ x / √(mean(x²) + ε).
#pragma once

#include <cmath>
#include <cstdint>
#include <moesaic/semantics/gemm.hpp>
#include <moesaic/semantics/group.hpp>

#include "arrays.hpp"

namespace deepseek_v3 {

/// One row; y may be x. The sum is taken in double, one element after another, so that its error never shows in fp32 however wide the row.
struct normalise_row {
  struct scratch {
    double scale;
  };

  moesaic::f32_rows x;
  float const* gain;
  double eps;
  moesaic::matrix_view<float> y;

  template <moesaic::group G>
  MOESAIC_HD void operator()(G const& g, std::int64_t row, scratch& s) const {
    float const* const from = x.row(row);
    float* const to = y.row(row);
    g.single([&] {
      double sum = 0.0;
      for (std::int64_t i = 0; i < x.cols; ++i) sum += double{from[i]} * double{from[i]};
      s.scale = 1.0 / ::sqrt(sum / static_cast<double>(x.cols) + eps);
    });
    double const scale = s.scale;
    float const* const by = gain;
    g.for_each(static_cast<int>(x.cols), [=](int i) { to[i] = static_cast<float>(double{from[i]} * scale * double{by[i]}); });
  }
};

/// Row by row; y may be x.
template <class D>
void rms_norm(D const& d, moesaic::f32_rows x, vector<D> const& gain, double eps, moesaic::matrix_view<float> y) {
  launch(d, x.rows, normalise_row{x, gain.data(), eps, y});
}

/// The same into a new matrix.
template <class D>
matrix<D> rms_norm(D const& d, matrix<D> const& x, vector<D> const& gain, double eps) {
  matrix<D> y(d, x.rows(), x.view().cols);
  rms_norm(d, x.view(), gain, eps, y.view());
  return y;
}

}  // namespace deepseek_v3
