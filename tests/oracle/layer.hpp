// A linear layer and a whole MoE layer in float64.
#pragma once

#include <cstdint>
#include <moesaic/config/layer.hpp>
#include <vector>

namespace oracle {

struct matrix {
  int rows = 0, cols = 0;
  std::vector<double> value{};

  matrix() = default;
  matrix(int r, int c) : rows(r), cols(c), value(static_cast<std::size_t>(r) * static_cast<std::size_t>(c)) {}
  double* row(int r) { return value.data() + static_cast<std::size_t>(r) * static_cast<std::size_t>(cols); }
  double const* row(int r) const { return value.data() + static_cast<std::size_t>(r) * static_cast<std::size_t>(cols); }
};

// out[n] = Σ_k x[k] · w[n][k]
void multiply(double const* x, matrix const& w, double* out);

struct expert_weights {
  matrix gate, up, down;
};

// x as the activation format holds it, block by block of a row.
std::vector<double> as_format(std::vector<double> const& row, moesaic::activation_format format);

// down · (silu(gate x) ⊙ (up x)), x and the hidden row held in `format`.
std::vector<double> expert_output(std::vector<double> const& x, expert_weights const& w, moesaic::activation_format format);

}  // namespace oracle
