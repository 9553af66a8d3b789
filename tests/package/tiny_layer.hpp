// A whole MoE layer that is small enough to be worked out by hand.
#pragma once

#include <moesaic/moesaic.hpp>
#include <vector>

namespace {

struct tiny_model {
  static constexpr moesaic::moe_config config{.hidden = 8, .inter = 8, .experts = 4, .top_k = 2, .norm = moesaic::norm_fn::sum};
};

struct alignas(64) line {
  float value[16];
};

/// One token of eight ones. Expert e's logit is e, and its output e · silu(1): experts 3 and 2 are selected with weights s = sigmoid(1) and
/// 1 − s, so y = s · (3s + 2(1 − s)) = s(2 + s) = 1.996564. Returns y[7], or −1 after an error.
template <class Backend>
float tiny_layer(Backend const& ctx) {
  using layer = moesaic::layer<tiny_model, moesaic::policies::f32_weights>;
  float router[4 * 8], gate[8 * 8], down[4 * 8 * 8];
  for (int i = 0; i < 4 * 8; ++i) router[i] = static_cast<float>(i / 8) / 8;
  for (float& w : gate) w = 1.0F / 8;
  for (int i = 0; i < 4 * 8 * 8; ++i) down[i] = static_cast<float>(i / 64) / 8;

  moesaic::layer_weights<layer> weights;
  weights.router = {1, 4, 8, {router}, {}};
  weights.gate = weights.up = {4, 8, 8, {gate}, {}};  // a stride of 0: the same matrix for every expert
  weights.down = {4, 8, 8, {down, 64}, {}};

  std::vector<line> home(moesaic::prepared_bytes<layer>(ctx) / 64 + 1), workspace(moesaic::workspace_bytes<layer>(ctx, 1) / 64 + 1);
  moesaic::prepared_weights<Backend, layer> prepared;
  if (!moesaic::prepare<layer>(ctx, weights, {home.data(), home.size() * 64}, prepared)) return -1;

  alignas(64) float x[8] = {1, 1, 1, 1, 1, 1, 1, 1}, y[8] = {};
  moesaic::matrix_view<float> const in(x, 1, 8), out(y, 1, 8);
  if (!moesaic::forward<layer>(ctx, in, prepared, out, {workspace.data(), workspace.size() * 64})) return -1;
  return y[7];
}

[[maybe_unused]] bool tiny_layer_is_right(float y) { return y > 1.99656F && y < 1.99657F; }

}  // namespace
