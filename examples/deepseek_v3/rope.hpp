// Rotary position embedding with YaRN, and the factor that YaRN puts on attention scores.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
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

/// Cosine and sine of every position and pair, from angles in double.
class rotation {
 public:
  rotation(model_config const& c, std::int64_t positions)
      : cos_(make_matrix(positions, c.qk_rope_head_dim / 2)), sin_(make_matrix(positions, c.qk_rope_head_dim / 2)) {
    std::vector<double> const f = rope_frequencies(c.rope, c.qk_rope_head_dim);
    double const scale = rotation_scale(c.rope);
    for (std::int64_t t = 0; t < positions; ++t)
      for (std::size_t i = 0; i < f.size(); ++i) {
        double const angle = static_cast<double>(t) * f[i];
        cos_(t, i) = static_cast<float>(std::cos(angle) * scale);
        sin_(t, i) = static_cast<float>(std::sin(angle) * scale);
      }
  }

  /// Turns x, the rope channels of one head at position t. Pairs are neighbours (2i, 2i+1): that is how DeepSeek's weights lie.
  void turn(std::int64_t t, float* x) const {
    for (std::size_t i = 0; i < cos_.extent(1); ++i) {
      float const a = x[2 * i], b = x[2 * i + 1];
      x[2 * i] = a * cos_(t, i) - b * sin_(t, i);
      x[2 * i + 1] = a * sin_(t, i) + b * cos_(t, i);
    }
  }

 private:
  matrix cos_, sin_;
};

}  // namespace deepseek_v3
