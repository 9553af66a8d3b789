// Rotary position embedding with YaRN, and the factor that YaRN puts on attention scores.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <moesaic/semantics/group.hpp>
#include <numbers>
#include <vector>

#include "arrays.hpp"
#include "model_config.hpp"

namespace deepseek_v3 {

/// How much YaRN sharpens attention: 0.1 · mscale · ln(factor) + 1.
inline double yarn_mscale(double factor, double mscale) { return factor <= 1.0 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0; }

/// The factor on q · k before the softmax. Its m² is easily forgotten: short texts then still look fine.
inline double softmax_scale(model_config const& c) {
  double const m = yarn_mscale(c.rope.factor, c.rope.mscale_all_dim);
  return m * m / std::sqrt(static_cast<double>(c.qk_nope_head_dim + c.qk_rope_head_dim));
}

/// The factor that Hugging Face puts on cosines and sines; 1 for every model of the family, whose two mscales are equal.
inline double rotation_scale(rope_config const& r) {
  if (r.mscale == 0.0 || r.mscale_all_dim == 0.0) return yarn_mscale(r.factor, 1.0);
  return yarn_mscale(r.factor, r.mscale) / yarn_mscale(r.factor, r.mscale_all_dim);
}

/// The angle per position of each pair of `dim` channels. YaRN leaves the fast ones, divides the slow ones by `factor`, and blends between.
inline std::vector<double> rope_frequencies(rope_config const& r, int dim) {
  std::vector<double> f(static_cast<std::size_t>(dim) / 2);
  for (std::size_t i = 0; i < f.size(); ++i) f[i] = std::pow(r.theta, -2.0 * static_cast<double>(i) / dim);
  if (r.factor == 0.0) return f;
  auto pair_that_turns = [&](double times) {  // within the original length
    return dim * std::log(r.original_length / (2.0 * std::numbers::pi * times)) / (2.0 * std::log(r.theta));
  };
  double const low = std::max(std::floor(pair_that_turns(r.beta_fast)), 0.0);
  double high = std::min(std::ceil(pair_that_turns(r.beta_slow)), dim - 1.0);
  if (high == low) high += 0.001;
  for (std::size_t i = 0; i < f.size(); ++i) {
    double const ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    f[i] = f[i] * (1.0 - ramp) + f[i] / r.factor * ramp;
  }
  return f;
}

/// The rope channels of `heads` heads at position t, row t of x: the first head's begin at column `first`, the next one's `pitch` further.
/// Pairs are neighbours (2i, 2i+1): that is how DeepSeek's weights lie.
struct turn_row {
  struct scratch {};

  moesaic::matrix_view<float> x;
  int heads, first, pitch;
  moesaic::matrix_view<float const> cos, sin;

  template <moesaic::group G>
  MOESAIC_HD void operator()(G const& g, std::int64_t t, scratch&) const {
    float const* const c = cos.row(t);
    float const* const s = sin.row(t);
    for (int h = 0; h < heads; ++h) {
      float* const head = x.row(t) + first + h * pitch;
      g.for_each(static_cast<int>(cos.cols), [=](int i) {
        float const a = head[2 * i], b = head[2 * i + 1];
        head[2 * i] = a * c[i] - b * s[i];
        head[2 * i + 1] = a * s[i] + b * c[i];
      });
    }
  }
};

/// Cosine and sine of every position and pair, from angles in double.
template <class D>
class rotation {
 public:
  rotation(D const& d, model_config const& c, std::int64_t positions)
      : cos_(d, positions, c.qk_rope_head_dim / 2), sin_(d, positions, c.qk_rope_head_dim / 2) {
    tabulate(d, c, cos_.view(), [](double angle) { return std::cos(angle); });
    tabulate(d, c, sin_.view(), [](double angle) { return std::sin(angle); });
  }

  /// Turns x, row t by t positions; columns as turn_row has them.
  void turn(D const& d, moesaic::matrix_view<float> x, int heads = 1, int first = 0, int pitch = 0) const {
    launch(d, x.rows, turn_row{x, heads, first, pitch, cos_.view(), sin_.view()});
  }

 private:
  template <class F>
  static void tabulate(D const& d, model_config const& c, moesaic::matrix_view<float> table, F const& of_angle) {
    std::vector<double> const frequency = rope_frequencies(c.rope, c.qk_rope_head_dim);
    double const scale = rotation_scale(c.rope);
    fill(d, table.data, table.rows * table.cols, [&](float* to) {
      for (std::int64_t t = 0; t < table.rows; ++t)
        for (double const f : frequency) *to++ = static_cast<float>(of_angle(static_cast<double>(t) * f) * scale);
    });
  }

  matrix<D> cos_, sin_;
};

}  // namespace deepseek_v3
