// A family's small layer on a backend against its formula in float64.
#pragma once

#include <gtest/gtest.h>

#include <cstring>

#include <moesaic/pipeline/forward.hpp>
#include <moesaic/reference/on.hpp>
#include <oracle/numbers.hpp>

#include "families.hpp"

namespace families {

/// Memory for a backend: 64-byte aligned.
struct bytes {
  explicit bytes(std::size_t n) : size(n), data(::operator new (n + 64, std::align_val_t{64})) {}
  bytes(bytes const&) = delete;
  bytes& operator=(bytes const&) = delete;
  ~bytes() { ::operator delete (data, std::align_val_t{64}); }
  memory view() const { return {data, size}; }
  std::size_t size;
  void* data;
};

using floats = std::vector<float>;

inline floats random_floats(oracle::random& r, std::int64_t n, double scale) {
  floats v(static_cast<std::size_t>(n));
  for (float& x : v) x = static_cast<float>(scale) * r.normal();
  return v;
}
inline void multiply(double const* x, float const* w, int rows, int cols, std::int64_t stride, double* out) {
  for (int n = 0; n < rows; ++n) {
    out[n] = 0.0;
    for (int k = 0; k < cols; ++k) out[n] += x[k] * static_cast<double>(w[n * stride + k]);
  }
}

/// Random weights of a layer in fp32. Gate and up rows are interleaved, as gpt-oss stores them, so that row strides are covered.
template <class F, class Policy = policies::f32_weights>
struct small_layer {
  using layer_type = layer<F, Policy>;
  static constexpr moe_config c = F::config;
  static constexpr int E = c.experts, H = c.hidden, I = c.inter, S = c.shared_inter, R = c.choices();

  oracle::random r{11};
  floats router = random_floats(r, R*H, 0.25), bias = random_floats(r, R, 0.3), logit_bias = random_floats(r, R, 0.5);
  floats gate_up = random_floats(r, std::int64_t{E} * 2 * I * H, 0.5), down = random_floats(r, std::int64_t{E} * H * I, 0.2);
  floats gate_bias = random_floats(r, E*I, 1.0), up_bias = random_floats(r, E*I, 1.0), down_bias = random_floats(r, E*H, 1.0);
  floats shared_gate = random_floats(r, S * H, 1.5), shared_up = random_floats(r, S * H, 1.5), shared_down = random_floats(r, H*S, 0.2);
  floats token_gate = random_floats(r, H, 0.2);

  layer_weights<layer_type> weights() const {
    layer_weights<layer_type> w;
    w.router = {1, R, H, {router.data()}};
    if (c.bias) w.bias = bias.data();
    if (c.logit_bias) w.logit_bias = logit_bias.data();
    if (is_gated(c.act)) w.gate = {E, I, H, {gate_up.data(), 2 * I * H}, {}, 2 * H};
    w.up = {E, I, H, {gate_up.data() + H, 2 * I * H}, {}, 2 * H};
    w.down = {E, H, I, {down.data(), H * I}};
    if (c.expert_bias) w.gate_bias = {gate_bias.data(), I}, w.up_bias = {up_bias.data(), I}, w.down_bias = {down_bias.data(), H};
    if (S > 0) {
      if (is_gated(c.act)) w.shared_gate = {1, S, H, {shared_gate.data()}};
      w.shared_up = {1, S, H, {shared_up.data()}};
      w.shared_down = {1, H, S, {shared_down.data()}};
    }
    if (c.shared_gated) w.shared_token_gate = {1, 1, H, {token_gate.data()}};
    return w;
  }

  numbers logits(double const* x) const {
    numbers z(R);
    multiply(x, router.data(), R, H, H, z.data());
    for (std::size_t e = 0; c.logit_bias && e < z.size(); ++e) z[e] += static_cast<double>(logit_bias[e]);
    return z;
  }
  numbers biases() const { return {bias.begin(), bias.end()}; }

  template <class Act>
  static numbers mlp(double const* x, double scale, float const* gate, float const* up, std::int64_t stride, float const* down_, int width,
                     Act const& act, float const* gb, float const* ub) {
    numbers g(static_cast<std::size_t>(width)), u(g), scaled(x, x + H), out(H);
    for (double& v : scaled) v *= scale;
    multiply(scaled.data(), gate, width, H, stride, g.data());
    multiply(scaled.data(), up, width, H, stride, u.data());
    for (std::size_t i = 0; i < g.size(); ++i)
      g[i] = act(g[i] + (c.expert_bias && gb != nullptr ? static_cast<double>(gb[i]) : 0.0),
                 u[i] + (c.expert_bias && ub != nullptr ? static_cast<double>(ub[i]) : 0.0));
    multiply(g.data(), down_, H, width, width, out.data());
    return out;
  }

  /// One token's y for the experts that were picked.
  numbers output(double const* x, picks const& chosen) const {
    numbers routed(H, 0.0), shared(H, 0.0);
    for (auto const& p : chosen) {
      auto const e = static_cast<std::size_t>(p.id);
      numbers row(x, x + H);  // a zero expert
      if (p.id < E) {
        float const* const gu = gate_up.data() + e * 2 * I * H;
        row = mlp(x, F::weight_at_input ? p.weight : 1.0, gu, gu + H, 2 * H, down.data() + e * H * I, I, F::act, gate_bias.data() + e * I,
                  up_bias.data() + e * I);
        for (std::size_t h = 0; c.expert_bias && h < H; ++h) row[h] += static_cast<double>(down_bias[e * H + h]);
      }
      for (std::size_t h = 0; h < H; ++h) routed[h] += (F::weight_at_input ? 1.0 : p.weight) * row[h];
    }
    double gate = 0.0;
    if (S > 0) {
      shared = mlp(x, 1.0, shared_gate.data(), shared_up.data(), H, shared_down.data(), S, F::shared_act, nullptr, nullptr);
      multiply(x, token_gate.data(), 1, H, H, &gate);
    }
    for (std::size_t h = 0; h < H; ++h) routed[h] = F::join(routed[h], shared[h], gate);
    return routed;
  }
};

inline constexpr std::int64_t tokens = 9;

template <class F>
void fill_given_ids(std::vector<std::int32_t>& ids) {
  if constexpr (requires { F::table; })
    for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = F::table[i % 4];
}

/// Route from given logits: the formula's experts and weights, and the reference backend's bits.
template <class F, backend B>
void check_route(B const& ctx) {
  using L = layer<F, policies::f32_weights>;
  constexpr moe_config c = F::config;
  constexpr int K = c.top_k, R = c.choices();
  struct pattern {
    double offset, spread;
  };
  for (pattern const p : {pattern{0.0, 1.5}, {5.0, 0.03}, {-3.0, 4.0}}) {
    oracle::random r{static_cast<std::uint64_t>(p.spread * 100)};
    std::int64_t const rows = 64;
    floats z(static_cast<std::size_t>(rows * R));
    for (float& v : z) v = static_cast<float>(p.offset + p.spread * static_cast<double>(r.normal()));
    floats const bias = random_floats(r, R, 0.3), zero(static_cast<std::size_t>(R), 0.0F);
    router_biases const biases{c.bias ? bias.data() : nullptr, c.logit_bias ? zero.data() : nullptr};
    std::vector<std::int32_t> ids(static_cast<std::size_t>(rows * K)), reference_ids;
    fill_given_ids<F>(ids);
    reference_ids = ids;
    floats weights(ids.size()), reference_weights(ids.size());
    auto run = [&](auto const& on, std::vector<std::int32_t>& i, floats& w) {
      topk_choice const choice{i.data(), w.data(), rows, K};
      status const s = requires { F::table; }
      ? weigh_from_logits<L>(on, {z.data(), rows, R}, biases, choice) : route_from_logits<L>(on, {z.data(), rows, R}, biases, choice);
      ASSERT_TRUE(s) << describe(s).c_str();
    };
    run(ctx, ids, weights);
    run(reference::on{}, reference_ids, reference_weights);
    EXPECT_EQ(ids, reference_ids);
    EXPECT_EQ(std::memcmp(weights.data(), reference_weights.data(), weights.size() * sizeof(float)), 0);
    for (std::int64_t t = 0; t < rows; ++t) {
      float const* const row = z.data() + t * R;
      picks const right = F::choose(numbers(row, row + R), numbers(bias.begin(), bias.end()));
      for (int k = 0; k < K; ++k) {
        auto const slot = static_cast<std::size_t>(t * K + k);
        ASSERT_EQ(ids[slot], right[static_cast<std::size_t>(k)].id) << "token " << t << " rank " << k << " offset " << p.offset;
        double const w = right[static_cast<std::size_t>(k)].weight;
        ASSERT_NEAR(static_cast<double>(weights[slot]), w, 4e-6 * std::fabs(w)) << "token " << t << " rank " << k;
      }
    }
  }
}

template <class L, backend B>
floats forward_of(B const& ctx, layer_weights<L> const& weights, floats& x, std::vector<std::int32_t>& ids) {
  constexpr moe_config c = L::config;
  bytes const packed(prepared_bytes<L>(ctx)), workspace(workspace_bytes<L>(ctx, tokens));
  prepared_weights<B, L> prepared;
  floats w(ids.size()), y(x.size());
  status s = prepare<L>(ctx, weights, packed.view(), prepared);
  EXPECT_TRUE(s) << describe(s).c_str();
  s = forward<L>(ctx, matrix_view<float>(x.data(), tokens, c.hidden), prepared, matrix_view<float>(y.data(), tokens, c.hidden),
                 workspace.view(),
                 {.choice = {ids.data(), w.data(), tokens, c.top_k},
                  .given = requires { typename L::model; L::model::table;
}
? given_choice::ids : given_choice::nothing
}  // namespace families
);
EXPECT_TRUE(s) << describe(s).c_str();
return y;
}

/// The whole layer in fp32 against the formula: the same experts, and y within fp32's reach.
template <class F, backend B>
void check_layer(B const& ctx) {
  constexpr moe_config c = F::config;
  small_layer<F> const l;
  oracle::random r{77};
  floats x = random_floats(r, tokens * c.hidden, 1.0);
  std::vector<std::int32_t> ids(static_cast<std::size_t>(tokens * c.top_k));
  fill_given_ids<F>(ids);
  floats const y = forward_of<layer<F, policies::f32_weights>>(ctx, l.weights(), x, ids);
  double error = 0.0, size = 0.0;
  for (std::int64_t t = 0; t < tokens; ++t) {
    numbers const row(x.begin() + t * c.hidden, x.begin() + (t + 1) * c.hidden);
    picks const chosen = F::choose(l.logits(row.data()), l.biases());
    for (std::size_t k = 0; k < chosen.size(); ++k)
      ASSERT_EQ(ids[static_cast<std::size_t>(t * c.top_k) + k], chosen[k].id) << "token " << t << " rank " << k;
    numbers const right = l.output(row.data(), chosen);
    for (std::size_t h = 0; h < right.size(); ++h) {
      double const d = static_cast<double>(y[static_cast<std::size_t>(t * c.hidden) + h]) - right[h];
      error += d * d;
      size += right[h] * right[h];
    }
  }
  EXPECT_LE(std::sqrt(error / size), 1e-6);
}

}  // namespace families
