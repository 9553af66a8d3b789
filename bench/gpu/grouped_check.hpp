// Whether a grouped product is right: samples against sums in float64, and all bits against those of another kernel.
#pragma once

#include <moesaic/num/e4m3.hpp>
#include <moesaic/semantics/activation.hpp>

#include "grouped_tiles.hpp"

namespace gpu {

/// What a product multiplies, for the check. offsets null: one expert. one_scale: x_scales[0] and w_scales[0] serve all.
struct checked_product {
  moesaic::quantized_rows<float> x;
  std::uint8_t const* w;
  float const* w_scales;
  std::int32_t const* offsets;
  int n;
  bool one_scale;
};

/// sums[0] += squared error, sums[1] += squared size, over `samples` elements of out [rows, n], a warp each; the last rows are among them.
__global__ void sample_errors(checked_product p, moesaic::bf16 const* out, int samples, double* sums) {
  int const lane = static_cast<int>(threadIdx.x % 32), warps = static_cast<int>(gridDim.x * blockDim.x / 32);
  std::int64_t const k = p.x.cols;
  for (int s = static_cast<int>((blockIdx.x * blockDim.x + threadIdx.x) / 32); s < samples; s += warps) {
    auto const pick = static_cast<std::uint64_t>(s);
    std::int64_t const row =
        s < 64 ? p.x.rows - 1 - s % p.x.rows : static_cast<std::int64_t>(mix(2 * pick) % static_cast<std::uint64_t>(p.x.rows));
    auto const column = static_cast<std::int64_t>(mix(2 * pick + 1) % static_cast<std::uint64_t>(p.n));
    std::int64_t e = 0;
    if (p.offsets != nullptr)
      while (p.offsets[e + 1] <= row) ++e;
    double total = 0.0;
    for (std::int64_t b = 0; b < k / 128; ++b) {
      double block = 0.0;
      for (std::int64_t i = b * 128 + lane * 4; i < b * 128 + lane * 4 + 4; ++i)
        block += static_cast<double>(moesaic::e4m3_to_float(p.x.codes[row * k + i])) *
                 static_cast<double>(moesaic::e4m3_to_float(p.w[(e * p.n + column) * k + i]));
      float const of_row = p.one_scale ? p.x.scales[0] : p.x.scale(b, row);
      float const of_column = p.one_scale ? p.w_scales[0] : p.w_scales[(e * (p.n / 128) + column / 128) * (k / 128) + b];
      total += block * static_cast<double>(of_row) * static_cast<double>(of_column);
    }
    for (int lanes = 16; lanes > 0; lanes /= 2) total += __shfl_xor_sync(0xFFFFFFFFU, total, lanes);
    if (lane == 0) {
      double const d = static_cast<double>(moesaic::to_float(out[row * p.n + column])) - total;
      atomicAdd(sums, d * d);
      atomicAdd(sums + 1, total * total);
    }
  }
}

template <class T>
__global__ void fill(T* to, std::int64_t count, T value) {
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < count; i += std::int64_t{gridDim.x} * blockDim.x)
    to[i] = value;
}
/// counts[0] += differing places of two [rows, columns] whose rows are `stride` apart, counts[1] = the first; b null: places that hold
/// `value`.
template <class T>
__global__ void count_places(T const* a, T const* b, std::int64_t rows, std::int64_t columns, std::int64_t stride, T value,
                             unsigned long long* counts) {
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < rows * columns;
       i += std::int64_t{gridDim.x} * blockDim.x) {
    std::int64_t const at = i / columns * stride + i % columns;
    if (b != nullptr ? a[at] != b[at] : a[at] == value) {
      atomicAdd(counts, 1ULL);
      atomicMin(counts + 1, static_cast<unsigned long long>(at));
    }
  }
}
__global__ void reference_activation(moesaic::activate_quantize_rows<float, moesaic::activation_fn::swiglu, moesaic::no_terms> f,
                                     std::int64_t items) {
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < items; i += std::int64_t{gridDim.x} * blockDim.x) {
    moesaic::quantize_scratch scratch;
    f(moesaic::serial_group{}, i, scratch);
  }
}

/// Runs candidates on one shape and says what is wrong with them; empty: nothing.
class grouped_check {
 public:
  grouped_check(grouped_problem const& p, cudaStream_t s)
      : p_(p), s_(s), count_(p.rows() * p.shape().n + grouped_problem::guard), first_(static_cast<std::size_t>(count_) * 2) {}

  /// The relative RMS error of the last gemm() or dense().
  double error() const { return error_; }

  std::string gemm(candidate const& c) {
    auto* const out = reinterpret_cast<std::uint16_t*>(p_.out());
    fill<<<1024, 256, 0, s_>>>(out, count_, poison);
    c.launch(s_);
    std::string wrong = sampled({p_.x(), p_.weights().codes.base, p_.weights().scales.base, p_.offsets(), p_.shape().n, false}, 4e-3);
    if (!have_first_) {
      ok(cudaMemcpyAsync(first_.as<std::uint16_t>(), out, first_.bytes(), cudaMemcpyDeviceToDevice, s_));
      auto const left = places<std::uint16_t>(out, nullptr, 1, count_, count_, poison);
      if (left.count != grouped_problem::guard) wrong += " places unwritten or written behind the end: " + left.text();
      have_first_ = true;
    } else if (auto const d = places<std::uint16_t>(out, first_.as<std::uint16_t>(), 1, count_, count_, poison); d.count != 0) {
      wrong += " differs from the first tile: " + d.text();
    }
    return wrong;
  }

  /// A dense product of all rows and the first expert's weights.
  std::string dense(candidate const& c, bool one_scale) {
    fill<<<1024, 256, 0, s_>>>(reinterpret_cast<std::uint16_t*>(p_.out()), count_, poison);
    c.launch(s_);
    return sampled({p_.x(), p_.weights().codes.base, p_.weights().scales.base, nullptr, p_.shape().n, one_scale}, one_scale ? 5e-2 : 1e-2);
  }

  /// The activation of gate and up, each a product in fp32 by a tile that gemm() has found right, by the functor that defines it.
  void make_reference(quantized_memory const& want) const {
    auto const bytes = static_cast<std::size_t>(p_.rows() * p_.inter()) * 4;
    memory const gate(bytes), up(bytes);
    for (int i = 0; i < 2; ++i) {
      auto const a = grouped_arguments<plain_tile, sm90::store_f32>(p_, {p_.half(i)}, {(i == 0 ? gate : up).as<float>(), p_.inter()});
      start_grouped<plain_tile>(s_, a);
    }
    moesaic::matrix_view<float const> const g{gate.as<float>(), p_.rows(), p_.inter()}, u{up.as<float>(), p_.rows(), p_.inter()};
    reference_activation<<<2048, 128, 0, s_>>>({g, u, nullptr, want.view(), {}}, p_.rows() * p_.inter() / 128);
    ok(cudaGetLastError());
    ok(cudaStreamSynchronize(s_));
  }

  std::string up(candidate const& c, quantized_memory const& want, quantized_memory const& have) const {
    auto const w = want.view(), h = have.view();
    fill<<<1024, 256, 0, s_>>>(h.codes, h.rows * h.cols, std::uint8_t{0x7F});
    fill<<<1024, 256, 0, s_>>>(h.scales, h.scale_stride * (h.cols / 128), -1.0F);
    c.launch(s_);
    std::string wrong;
    auto const codes = static_cast<unsigned long long>(h.rows * h.cols);
    if (auto const d = places<std::uint8_t>(w.codes, h.codes, 1, h.rows * h.cols, h.rows * h.cols, 0);
        d.count > (c.exact ? 0 : codes / 2000))
      wrong += " codes differ from the functor's: " + d.text();
    if (!c.exact) return wrong;
    if (auto const d = places<float>(w.scales, h.scales, h.cols / 128, h.rows, h.scale_stride, 0.0F); d.count != 0)
      wrong += " scales differ from the functor's: " + d.text();
    return wrong;
  }

 private:
  static constexpr std::uint16_t poison = 0x7FC0;  // NaN
  struct counted {
    unsigned long long count = 0, first = ~0ULL;
    std::string text() const { return std::to_string(count) + ", the first at " + std::to_string(static_cast<long long>(first)); }
  };

  template <class T>
  counted places(T const* a, T const* b, std::int64_t rows, std::int64_t columns, std::int64_t stride, T value) const {
    counted c;
    ok(cudaMemcpyAsync(numbers_.as<counted>(), &c, sizeof c, cudaMemcpyHostToDevice, s_));
    count_places<<<1024, 256, 0, s_>>>(a, b, rows, columns, stride, value, numbers_.as<unsigned long long>());
    ok(cudaGetLastError());
    ok(cudaMemcpyAsync(&c, numbers_.as<counted>(), sizeof c, cudaMemcpyDeviceToHost, s_));
    ok(cudaStreamSynchronize(s_));
    return c;
  }
  std::string sampled(checked_product const& product, double tolerance) {
    double sums[2] = {};
    ok(cudaMemsetAsync(numbers_.as<double>(), 0, sizeof sums, s_));
    sample_errors<<<256, 256, 0, s_>>>(product, p_.out(), 8192, numbers_.as<double>());
    ok(cudaGetLastError());
    ok(cudaMemcpyAsync(sums, numbers_.as<double>(), sizeof sums, cudaMemcpyDeviceToHost, s_));
    ok(cudaStreamSynchronize(s_));
    error_ = std::sqrt(sums[0] / sums[1]);
    return error_ < tolerance ? std::string() : " error " + std::to_string(error_);  // NaN is wrong too
  }

  grouped_problem const& p_;
  cudaStream_t s_;
  std::int64_t count_;
  memory first_, numbers_{16};
  bool have_first_ = false;
  double error_ = 0.0;
};

}  // namespace gpu
