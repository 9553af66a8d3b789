// A grouped product's operands on the card. Rows of expert e: x · W_eᵀ, or the same through SwiGLU, gate and up being the halves of the n
// columns.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include <moesaic/config/weights.hpp>
#include <moesaic/cuda/ptx/convert.hpp>
#include <moesaic/num/bf16.hpp>
#include <moesaic/semantics/handoff.hpp>

#include "device.hpp"
#include "random_data.hpp"

namespace gpu {

struct grouped_shape {
  int experts, rows_each;  // ragged: rows_each on average, the first, the last and every fifth expert empty
  bool ragged;
  int n, k;

  bool decode() const { return !ragged && rows_each <= 64; }
  std::string name() const { return std::to_string(experts) + "x" + std::to_string(rows_each); }

  std::vector<std::int32_t> offsets() const {
    std::mt19937 random(10);  // row counts that are no multiples of 4, so that scales are padded
    std::vector<std::int32_t> all{0};
    for (int e = 0; e < experts; ++e) {
      bool const empty = e % 5 == 0 || e + 1 == experts;
      int const count = !ragged ? rows_each : empty ? 0 : 1 + static_cast<int>(random() % static_cast<unsigned>(2 * rows_each));
      all.push_back(all.back() + count);
    }
    return all;
  }
  std::int64_t rows() const { return offsets().back(); }
  double operations() const { return 2.0 * static_cast<double>(rows()) * n * k; }
  std::int64_t weight_bytes() const { return std::int64_t{experts} * n * k; }
};

/// Codes of N(0, 1) as a block quantiser leaves them: a quarter of 448 is one standard deviation.
__global__ void fill_codes(std::uint8_t* to, std::size_t count, std::uint64_t seed) {
  for (std::size_t i = (blockIdx.x * std::size_t{blockDim.x} + threadIdx.x) * 2; i + 1 < count;
       i += std::size_t{gridDim.x} * blockDim.x * 2)
    *reinterpret_cast<std::uint16_t*>(to + i) =
        static_cast<std::uint16_t>(moesaic::cuda::ptx::e4m3_pair(112.0F * normal(i, seed), 112.0F * normal(i + 1, seed)));
}
__global__ void fill_scales(float* to, std::size_t count, std::uint64_t seed, float size) {
  for (std::size_t i = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x; i < count; i += std::size_t{gridDim.x} * blockDim.x)
    to[i] = size * (0.5F + static_cast<float>(mix(i ^ mix(seed)) >> 40) * 0x1p-24F);
}

/// Memory for the largest of some shapes; at(shape) makes it hold that shape. Codes and scales are the same numbers, cut another way.
class grouped_problem {
 public:
  static constexpr std::int64_t guard = 4096;  // elements behind a result that must stay as they were

  explicit grouped_problem(std::vector<grouped_shape> const& shapes)
      : x_(most(shapes, [](auto const& s) { return s.rows() * s.k; })),
        x_scales_(most(shapes, [](auto const& s) { return (s.rows() + 4) * (s.k / 128) * 4; })),
        w_(most(shapes, [](auto const& s) { return s.weight_bytes(); })),
        w_scales_(most(shapes, [](auto const& s) { return s.weight_bytes() / 16384 * 4; })),
        offsets_(most(shapes, [](auto const& s) { return (s.experts + 1) * 4; })),
        out_(most(shapes, [](auto const& s) { return (s.rows() * s.n + guard) * 2; })) {
    fill_codes<<<4096, 256>>>(x_.as<std::uint8_t>(), x_.bytes(), 1);
    fill_codes<<<4096, 256>>>(w_.as<std::uint8_t>(), w_.bytes(), 2);
    fill_scales<<<1024, 256>>>(x_scales_.as<float>(), x_scales_.bytes() / 4, 3, 1e-2F);
    fill_scales<<<1024, 256>>>(w_scales_.as<float>(), w_scales_.bytes() / 4, 4, 1e-3F);
    ok(cudaGetLastError());
    ok(cudaDeviceSynchronize());
  }

  void at(grouped_shape const& s) {
    shape_ = s;
    rows_ = s.rows();
    std::vector<std::int32_t> const o = s.offsets();
    ok(cudaMemcpy(offsets_.as<std::int32_t>(), o.data(), o.size() * 4, cudaMemcpyHostToDevice));
    ok(cudaDeviceSynchronize());  // a copy from pageable memory may still be under way, and other streams do not wait for it
  }

  grouped_shape const& shape() const { return shape_; }
  std::int64_t rows() const { return rows_; }
  std::int64_t inter() const { return shape_.n / 2; }
  std::int32_t const* offsets() const { return offsets_.as<std::int32_t>(); }
  moesaic::bf16* out() const { return out_.as<moesaic::bf16>(); }
  moesaic::quantized_rows<float> x() const { return {x_.as<std::uint8_t>(), x_scales_.as<float>(), rows_, shape_.k}; }

  using matrices = moesaic::weight_matrices<moesaic::weight_format::e4m3_128x128>;
  matrices weights() const { return columns(0, shape_.n); }
  /// 0: gate, 1: up, of all experts; the gates lie before the ups.
  matrices half(int which) const { return columns(which * std::int64_t{shape_.experts} * inter(), inter()); }

 private:
  template <class F>
  static std::size_t most(std::vector<grouped_shape> const& shapes, F const& bytes) {
    std::int64_t all = 16;
    for (auto const& s : shapes) all = std::max(all, static_cast<std::int64_t>(bytes(s)));
    return static_cast<std::size_t>(all);
  }
  matrices columns(std::int64_t first, std::int64_t n) const {
    std::int64_t const blocks = shape_.k / 128;
    matrices w;
    w.experts = shape_.experts;
    w.n = n;
    w.k = shape_.k;
    w.codes = {w_.as<std::uint8_t>(first * shape_.k), n * shape_.k};
    w.scales = {w_scales_.as<float>(first / 128 * blocks), n / 128 * blocks};
    return w;
  }

  grouped_shape shape_{};
  std::int64_t rows_ = 0;
  memory x_, x_scales_, w_, w_scales_, offsets_, out_;
};

}  // namespace gpu
