// A whole tiny_a layer with random weights, and its forward pass through any context.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <moesaic/cpu.hpp>
#include <new>
#include <random>
#include <vector>

namespace tiny {

using layer = moesaic::layer<moesaic::models::tiny_a, moesaic::policies::fp8_w8a8>;
inline constexpr moesaic::moe_config c = layer::config;
inline constexpr std::int64_t tokens = 37;

/// 64-byte aligned memory.
class bytes {
 public:
  explicit bytes(std::size_t n) : n_(n), p_(::operator new (n + 64, std::align_val_t{64})) {}
  ~bytes() { ::operator delete (p_, std::align_val_t{64}); }
  bytes(bytes const&) = delete;
  bytes& operator=(bytes const&) = delete;
  moesaic::memory memory() const { return {p_, n_}; }
  template <class T>
  T* as() const {
    return static_cast<T*>(p_);
  }

 private:
  std::size_t n_;
  void* p_;
};

class weights {
 public:
  weights() {
    std::mt19937 random(671);
    auto value = [&](float scale) { return scale * (static_cast<float>(random() % 2001) - 1000) / 1000; };
    for (std::uint8_t& code : codes_) code = static_cast<std::uint8_t>(random() % 0x78 + (random() % 2) * 0x80);
    for (float& scale : scales_) scale = 1e-4F + value(5e-5F);
    for (float& b : bias_) b = value(0.1F);
    for (float& r : router_) r = value(0.2F);
    for (float& v : x_) v = value(1);
    for (std::size_t i = 0; i < router_.size(); ++i) router_bf16_[i] = moesaic::to_bf16(router_[i]);
    std::copy(x_.begin(), x_.end(), x_bytes_.as<float>());
    all.router = {1, c.experts, c.hidden, {router_bf16_.data()}, {}};
    all.bias = bias_.data();
    all.gate = all.up = {c.experts, c.inter, c.hidden, {codes_.data(), matrix}, {scales_.data(), grid}};
    all.up.codes.base += matrix / 2;
    all.down = {c.experts, c.hidden, c.inter, {codes_.data() + 77, matrix}, {scales_.data(), grid}};
    all.shared_gate = all.shared_up = {1, c.shared_inter, c.hidden, {codes_.data() + 5}, {scales_.data()}};
    all.shared_down = {1, c.hidden, c.shared_inter, {codes_.data() + 9}, {scales_.data()}};
  }
  weights(weights const&) = delete;
  weights& operator=(weights const&) = delete;

  moesaic::layer_weights<layer> all;
  moesaic::matrix_view<float const> x() const { return {x_bytes_.as<float>(), tokens, c.hidden}; }

 private:
  static constexpr std::int64_t matrix = c.hidden * c.inter, grid = 2;
  std::vector<std::uint8_t> codes_ = std::vector<std::uint8_t>((c.experts + 1) * matrix);
  std::vector<float> scales_ = std::vector<float>(c.experts * grid), bias_ = std::vector<float>(c.experts),
                     router_ = std::vector<float>(c.experts * c.hidden), x_ = std::vector<float>(tokens * c.hidden);
  std::vector<moesaic::bf16> router_bf16_ = std::vector<moesaic::bf16>(c.experts * c.hidden);
  bytes x_bytes_{tokens * c.hidden * sizeof(float)};
};

/// The memory of one forward pass; run() may be called by one thread, or by all threads of an engine at once.
class pass {
 public:
  template <class B>
  explicit pass(B const& ctx)
      : packed_(moesaic::prepared_bytes<layer>(ctx)), workspace_(moesaic::workspace_bytes<layer>(ctx, tokens)), y_(tokens * c.hidden * 4) {}

  template <class B>
  moesaic::status run(B const& ctx, weights const& w) const {
    moesaic::prepared_weights<B, layer> mine;
    if (moesaic::status const s = moesaic::prepare<layer>(ctx, w.all, packed_.memory(), mine); !s) return s;
    return run_prepared(ctx, w, mine);
  }
  template <class B>
  moesaic::status run_prepared(B const& ctx, weights const& w, moesaic::prepared_weights<B, layer> const& mine) const {
    return moesaic::forward<layer>(ctx, w.x(), mine, moesaic::matrix_view(y_.as<float>(), tokens, c.hidden), workspace_.memory());
  }
  std::vector<std::uint32_t> y_bits() const {
    auto const* const p = y_.as<std::uint32_t>();
    return {p, p + tokens * c.hidden};
  }

 private:
  bytes packed_, workspace_, y_;
};

template <class B>
std::vector<std::uint32_t> forward_bits(B const& ctx, weights const& w) {
  pass const p(ctx);
  moesaic::status const s = p.run(ctx, w);
  EXPECT_TRUE(s) << moesaic::describe(s).c_str();
  std::vector<std::uint32_t> const y = p.y_bits();
  auto const empty = [](std::uint32_t bits) { return (bits << 1) == 0 || (bits << 1) >= 0xFF00'0000u; };
  EXPECT_FALSE(std::any_of(y.begin(), y.end(), empty)) << "zero, infinite or NaN";
  return y;
}

}  // namespace tiny
