// Random expert matrices as a checkpoint would store them, and in float64.
#pragma once

#include <moesaic/config/weights.hpp>
#include <oracle/layer.hpp>

#include "suite.hpp"

namespace conformance {

// `experts` matrices [n, k]: every expert at a place of its own, in an order of its own and, where elements are bytes, at odd addresses; so
// that both ways to say where experts are, base + stride and a table, lead to the right place only if they are followed. Matrices of whole
// blocks lie at multiples of 16 bytes, which the copy engines that read them ask for.
template <moesaic::weight_format F>
class stored_weights {
 public:
  using code = moesaic::weight_code_t<F>;
  static constexpr bool scaled = F == moesaic::weight_format::e4m3_128x128;

  stored_weights(int experts, std::int64_t n, std::int64_t k, oracle::random& r)
      : experts_(experts),
        n_(n),
        k_(k),
        first_(scaled && (n % 128 != 0 || k % 128 != 0) ? 1 : 16),
        code_stride_(n * k + (scaled && first_ == 16 ? 16 : 3)),
        scale_stride_(scaled ? moesaic::ceil_div(n, 128) * moesaic::ceil_div(k, 128) + 1 : 0),
        codes_(experts * code_stride_ + first_),
        scales_(experts * scale_stride_) {
    double const size = 1.0 / std::sqrt(static_cast<double>(k));
    for (code& c : codes_) c = random_code(r, size);
    for (float& s : scales_) s = static_cast<float>((0.5 + r.uniform()) * size / 128);  // codes have a mean magnitude of about 70
    for (int e = 0; e < experts; ++e) {
      code_table_.push_back(codes_.data() + first_ + e * code_stride_);
      scale_table_.push_back(scales_.data() + e * scale_stride_);
    }
  }

  moesaic::weight_matrices<F> by_stride() const {
    return {
        experts_, n_, k_, {codes_.data() + first_, code_stride_, nullptr}, scaled ? scales_by_stride() : moesaic::expert_array<float>{}};
  }
  // The same matrices, expert e being number experts − 1 − e.
  moesaic::weight_matrices<F> by_table() {
    if (reversed_codes_.empty()) {
      reversed_codes_.assign(code_table_.rbegin(), code_table_.rend());
      reversed_scales_.assign(scale_table_.rbegin(), scale_table_.rend());
    }
    moesaic::weight_matrices<F> w{experts_, n_, k_, {nullptr, 0, reversed_codes_.data()}, {}};
    if (scaled) w.scales = {nullptr, 0, reversed_scales_.data()};
    return w;
  }

  oracle::matrix exact(int e) const {
    oracle::matrix w(static_cast<int>(n_), static_cast<int>(k_));
    code const* const c = code_table_[static_cast<std::size_t>(e)];
    float const* const s = scale_table_[static_cast<std::size_t>(e)];
    for (std::int64_t i = 0; i < n_; ++i)
      for (std::int64_t j = 0; j < k_; ++j) {
        double v;
        if constexpr (scaled)
          v = oracle::e4m3.decode(c[i * k_ + j]) * static_cast<double>(s[i / 128 * moesaic::ceil_div(k_, 128) + j / 128]);
        else
          v = value(c[i * k_ + j]);
        w.row(static_cast<int>(i))[j] = v;
      }
    return w;
  }

 private:
  static code random_code(oracle::random& r, double size) {
    if constexpr (scaled) {
      std::uint8_t c;
      do c = static_cast<std::uint8_t>(r.bits());
      while ((c & 0x7F) == 0x7F);  // NaN
      return c;
    } else {
      return rounded<code>(static_cast<double>(r.normal()) * size);
    }
  }
  moesaic::expert_array<float> scales_by_stride() const { return {scales_.data(), scale_stride_, nullptr}; }

  int experts_;
  std::int64_t n_, k_, first_, code_stride_, scale_stride_;
  buffer<code> codes_;
  buffer<float> scales_;
  std::vector<code const*> code_table_, reversed_codes_;
  std::vector<float const*> scale_table_, reversed_scales_;
};

// Weights made ready for the stamp's backend, and the memory they lie in.
template <moesaic::weight_format F>
struct prepared {
  buffer<std::byte> memory;
  typename stamp::context_type::template prepared_matrices<F> weights{};

  prepared(stamp::context_type const& ctx, moesaic::weight_matrices<F> const& w)
      : memory(static_cast<std::int64_t>(moesaic::prepared_bytes(ctx, w))) {
    need(moesaic::prepare(ctx, w, {memory.data(), memory.bytes()}, weights));
    stamp::finish();
  }
};

}  // namespace conformance
