// The kernels of layer_reference.hpp: the layer, plainly, float64 sums, a warp a result.
#pragma once

#include <cstdint>

#include <moesaic/config/weights.hpp>
#include <moesaic/num/e4m3.hpp>
#include <moesaic/semantics/group.hpp>
#include <moesaic/semantics/quantize.hpp>

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

}  // namespace gpu
