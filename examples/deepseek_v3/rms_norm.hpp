// RMSNorm: y = g ⊙ x / √(mean(x²) + ε).
#pragma once

#include <cmath>
#include <cstdint>

#include "arrays.hpp"

namespace deepseek_v3 {

/// Row by row; y may be x. The sum is taken in double, so that its error never shows in fp32 however wide the row.
inline void rms_norm(moesaic::f32_rows x, vector const& gain, double eps, moesaic::matrix_view<float> y) {
  float const* const g = gain.data();
  for_each(x.rows, [=](std::int64_t r) {
    float const* const from = x.row(r);
    float* const to = y.row(r);
    double sum = 0.0;
    for (std::int64_t i = 0; i < x.cols; ++i) sum += double{from[i]} * double{from[i]};
    double const scale = 1.0 / std::sqrt(sum / static_cast<double>(x.cols) + eps);
    for (std::int64_t i = 0; i < x.cols; ++i) to[i] = static_cast<float>(double{from[i]} * scale * double{g[i]});
  });
}

/// The same into a new matrix.
inline matrix rms_norm(matrix const& x, vector const& gain, double eps) {
  matrix y = make_matrix(rows_of(x), view_of(x).cols);
  rms_norm(view_of(x), gain, eps, view_of(y));
  return y;
}

}  // namespace deepseek_v3
