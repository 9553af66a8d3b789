// The whole layer again, plainly: float64 sums, a warp a result, no kernel of the backend. Rows are rounded to E4M3 where the policy rounds
// them, or nowhere.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include <moesaic/cuda.hpp>

#include "device.hpp"
#include "layer_memory.hpp"

namespace gpu {

template <class L>
struct reference_layer {
  moesaic::layer_weights<L> w;
  std::int32_t const* ids;  // [tokens, K]
  float const* weights;
  int tokens;

  static constexpr int each = L::config.top_k + 1;  // experts of a token, the shared one last
};

template <class T>
__global__ void reference_codes(moesaic::quantize_rows<T, float> f, std::int64_t items) {
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < items; i += std::int64_t{gridDim.x} * blockDim.x) {
    moesaic::quantize_scratch scratch;
    f(moesaic::serial_group{}, i, scratch);
  }
}
__global__ void reference_decoded(moesaic::quantized_rows<float> from, double* to) {
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < from.rows * from.cols;
       i += std::int64_t{gridDim.x} * blockDim.x)
    to[i] =
        static_cast<double>(moesaic::e4m3_to_float(from.codes[i])) * static_cast<double>(from.scale(i % from.cols / 128, i / from.cols));
}
template <class T>
__global__ void reference_widened(T const* from, std::int64_t count, double* to) {
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < count; i += std::int64_t{gridDim.x} * blockDim.x)
    to[i] = static_cast<double>(moesaic::to_float(from[i]));
}

/// Row r of expert e times x, the same in all lanes.
__device__ inline double reference_dot(moesaic::weight_matrices<moesaic::weight_format::e4m3_128x128> const& w, int e, std::int64_t r,
                                       double const* x) {
  std::uint8_t const* const codes = w.row(e, r);
  float const* const scales = w.scales[e] + r / 128 * (w.k / 128);
  double total = 0.0;
  for (std::int64_t b = 0; b < w.k / 128; ++b) {
    double block = 0.0;
    std::int64_t const first = b * 128 + threadIdx.x % 32 * 4;
    for (std::int64_t i = first; i < first + 4; ++i) block += static_cast<double>(moesaic::e4m3_to_float(codes[i])) * x[i];
    total += block * static_cast<double>(scales[b]);
  }
  for (int lanes = 16; lanes > 0; lanes /= 2) total += __shfl_xor_sync(0xFFFFFFFFU, total, lanes);
  return total;
}

/// hidden [tokens, each, I], also rounded to float.
template <class L>
__global__ void reference_hidden(reference_layer<L> p, double const* x, double* hidden, float* rounded) {
  constexpr std::int64_t inter = L::config.inter;
  std::int64_t const warps = std::int64_t{gridDim.x} * blockDim.x / 32, count = p.tokens * std::int64_t{p.each} * inter;
  for (std::int64_t at = (blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x) / 32; at < count; at += warps) {
    std::int64_t const slot = at / inter, t = slot / p.each, j = slot % p.each;
    bool const shared = j == L::config.top_k;
    int const e = shared ? 0 : p.ids[t * L::config.top_k + j];
    double const* const row = x + t * L::config.hidden;
    double const gate = reference_dot(shared ? p.w.shared_gate : p.w.gate, e, at % inter, row);
    double const up = reference_dot(shared ? p.w.shared_up : p.w.up, e, at % inter, row);
    double const value = gate / (1.0 + exp(-gate)) * up;
    if (threadIdx.x % 32 == 0) {
      hidden[at] = value;
      rounded[at] = static_cast<float>(value);
    }
  }
}
/// y [tokens, H]
template <class L>
__global__ void reference_output(reference_layer<L> p, double const* hidden, double* y) {
  constexpr std::int64_t width = L::config.hidden;
  std::int64_t const warps = std::int64_t{gridDim.x} * blockDim.x / 32;
  for (std::int64_t at = (blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x) / 32; at < p.tokens * width; at += warps) {
    std::int64_t const t = at / width;
    double sum = 0.0;
    for (int j = 0; j < p.each; ++j) {
      bool const shared = j == L::config.top_k;
      std::int64_t const slot = t * L::config.top_k + j;
      double const out = reference_dot(shared ? p.w.shared_down : p.w.down, shared ? 0 : p.ids[slot], at % width,
                                       hidden + (t * p.each + j) * L::config.inter);
      sum += out * (shared ? 1.0 : static_cast<double>(p.weights[slot]));
    }
    if (threadIdx.x % 32 == 0) y[at] = sum;
  }
}

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
