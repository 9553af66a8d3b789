// The whole layer again, plainly: float64 sums, no kernel of the backend. Rows are rounded to E4M3 where the policy rounds
// them, or nowhere.
#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include <moesaic/cuda.hpp>

#include "device.hpp"
#include "layer_memory.hpp"
#include "layer_reference_kernels.hpp"

namespace gpu {

/// The first `tokens` rows of x, through layer L.
template <class L>
class layer_reference {
 public:
  static constexpr moesaic::moe_config c = L::config;

  layer_reference(layer_memory const& m, int tokens, cudaStream_t s) : m_(m), tokens_(tokens), s_(s) {
    std::vector<moesaic::bf16> x(static_cast<std::size_t>(tokens) * c.hidden);
    ok(cudaMemcpy(x.data(), m.x(), x.size() * 2, cudaMemcpyDeviceToHost));
    std::vector<float> logits;
    std::vector<double> row(c.hidden);
    for (int t = 0; t < tokens; ++t) {
      for (int i = 0; i < c.hidden; ++i)
        row[static_cast<std::size_t>(i)] =
            static_cast<double>(moesaic::to_float(x[static_cast<std::size_t>(t) * c.hidden + static_cast<std::size_t>(i)]));
      for (int e = 0; e < c.experts; ++e) {
        double const* const w = m.host_router.data() + std::int64_t{e} * c.hidden;
        double sum[4] = {};
        for (int i = 0; i < c.hidden; i += 4)
          for (int j = 0; j < 4; ++j) sum[j] += row[static_cast<std::size_t>(i + j)] * w[i + j];
        logits.push_back(static_cast<float>(sum[0] + sum[1] + sum[2] + sum[3]));
      }
    }
    ids.resize(static_cast<std::size_t>(tokens) * c.top_k);
    weights.resize(ids.size());
    moesaic::select_experts<L> const select{
        {logits.data(), tokens, c.experts}, {m.host_bias.data()}, {ids.data(), weights.data(), tokens, c.top_k}};
    auto const scratch = std::make_unique<typename moesaic::select_experts<L>::scratch>();
    for (int t = 0; t < tokens; ++t) select(moesaic::serial_group{}, t, *scratch);
  }

  /// y [tokens, H]
  std::vector<double> run(bool rounds) const {
    std::int64_t const slots = std::int64_t{tokens_} * reference_layer<L>::each, rows = tokens_;
    auto const bytes = [](std::int64_t count, std::size_t of) { return static_cast<std::size_t>(count) * of; };
    memory const device_ids(ids.size() * 4), device_weights(ids.size() * 4), x(bytes(rows * c.hidden, 8)), y(bytes(rows * c.hidden, 8));
    memory const hidden(bytes(slots * c.inter, 8)), rounded(bytes(slots * c.inter, 4));
    ok(cudaMemcpyAsync(device_ids.as<std::int32_t>(), ids.data(), ids.size() * 4, cudaMemcpyHostToDevice, s_));
    ok(cudaMemcpyAsync(device_weights.as<float>(), weights.data(), ids.size() * 4, cudaMemcpyHostToDevice, s_));
    reference_layer<L> const p{m_.weights<L>(), device_ids.as<std::int32_t>(), device_weights.as<float>(), tokens_};
    if (rounds)
      through_codes<moesaic::bf16>({m_.x(), rows, c.hidden}, x.as<double>());
    else
      reference_widened<<<256, 256, 0, s_>>>(m_.x(), rows * c.hidden, x.as<double>());
    ok(cudaGetLastError());
    reference_hidden<<<2048, 256, 0, s_>>>(p, x.as<double>(), hidden.as<double>(), rounded.as<float>());
    ok(cudaGetLastError());
    if (rounds) through_codes<float>({rounded.as<float>(), slots, c.inter}, hidden.as<double>());
    reference_output<<<2048, 256, 0, s_>>>(p, hidden.as<double>(), y.as<double>());
    ok(cudaGetLastError());
    std::vector<double> out(static_cast<std::size_t>(rows) * c.hidden);
    ok(cudaMemcpyAsync(out.data(), y.as<double>(), out.size() * 8, cudaMemcpyDeviceToHost, s_));
    ok(cudaStreamSynchronize(s_));
    return out;
  }

  /// What float64 logits choose.
  std::vector<std::int32_t> ids;
  std::vector<float> weights;

 private:
  template <class T>
  void through_codes(moesaic::matrix_view<T const> from, double* to) const {
    memory const codes(static_cast<std::size_t>(from.rows * from.cols)),
        scales(static_cast<std::size_t>((from.rows + 4) * from.cols / 128) * 4);
    moesaic::quantized_rows<float> const q(codes.as<std::uint8_t>(), scales.as<float>(), from.rows, from.cols);
    reference_codes<<<256, 128, 0, s_>>>(moesaic::quantize_rows<T, float>{from, q}, from.rows * from.cols / 128);
    ok(cudaGetLastError());
    reference_decoded<<<256, 256, 0, s_>>>(q, to);
    ok(cudaGetLastError());
    ok(cudaStreamSynchronize(s_));  // before the codes go
  }

  layer_memory const& m_;
  int tokens_;
  cudaStream_t s_;
};

/// Relative RMS difference.
inline double relative_error(std::vector<moesaic::bf16> const& have, std::vector<double> const& want) {
  double error = 0.0, size = 0.0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    double const d = static_cast<double>(moesaic::to_float(have[i])) - want[i];
    error += d * d;
    size += want[i] * want[i];
  }
  return std::sqrt(error / size);
}

}  // namespace gpu
