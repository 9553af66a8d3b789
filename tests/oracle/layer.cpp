#include "layer.hpp"

#include "numbers.hpp"
#include "stages.hpp"

namespace oracle {

void multiply(double const* x, matrix const& w, double* out) {
  constexpr int lanes = 8;  // float64 has room enough: any order will do, and several sums at a time are faster
  for (int n = 0; n < w.rows; ++n) {
    double const* const row = w.row(n);
    double sum[lanes] = {};
    int k = 0;
    for (; k + lanes <= w.cols; k += lanes)
      for (int l = 0; l < lanes; ++l) sum[l] += x[k + l] * row[k + l];
    for (; k < w.cols; ++k) sum[0] += x[k] * row[k];
    out[n] = ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
  }
}

std::vector<double> as_format(std::vector<double> const& row, moesaic::activation_format format) {
  using enum moesaic::activation_format;
  std::vector<double> out = row;
  if (format == moesaic::activation_format::bf16)
    for (double& v : out) v = oracle::bf16.nearest(v);
  if (format == moesaic::activation_format::fp16)
    for (double& v : out) v = oracle::fp16.nearest(v);
  if (format == e4m3_1x128 || format == e4m3_1x128_ue8m0) {
    std::vector<float> const single(row.begin(), row.end());
    quantized_row const q = quantize(single.data(), static_cast<int>(single.size()), format == e4m3_1x128_ue8m0);
    for (std::size_t c = 0; c < out.size(); ++c) out[c] = q.value(c);
  }
  return out;
}

std::vector<double> expert_output(std::vector<double> const& x, expert_weights const& w, moesaic::activation_format format) {
  std::vector<double> const input = as_format(x, format);
  std::vector<double> hidden(static_cast<std::size_t>(w.gate.rows)), up(hidden.size()), out(static_cast<std::size_t>(w.down.rows));
  multiply(input.data(), w.gate, hidden.data());
  multiply(input.data(), w.up, up.data());
  for (std::size_t i = 0; i < hidden.size(); ++i) hidden[i] = silu(hidden[i]) * up[i];
  multiply(as_format(hidden, format).data(), w.down, out.data());
  return out;
}

}  // namespace oracle
