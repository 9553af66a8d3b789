// What both clients need: random weights, x, and memory.
#pragma once

#include <algorithm>
#include <random>
#include <vector>

#include "moe_op.hpp"

namespace moe {

struct alignas(64) line {
  char bytes[64];
};

/// The same in each object.
class layer_data {
  std::mt19937 bits_;

 public:
  static constexpr int H = model::config.hidden, I = model::config.inter, E = model::config.experts, T = 7;
  std::vector<float> router = some(E * H), gate = some(E * I * H), up = some(E * I * H), down = some(E * H * I), x = some(T * H);
  std::vector<line> home, workspace;

  moesaic::layer_weights<layer> stored() const {
    moesaic::layer_weights<layer> w;
    w.router = {1, E, H, {router.data()}};
    w.gate = {E, I, H, {gate.data(), I * H}};
    w.up = {E, I, H, {up.data(), I * H}};
    w.down = {E, H, I, {down.data(), H * I}};
    return w;
  }

  /// Prepared weights and a workspace for T tokens, on any backend.
  template <class B>
  moesaic::status load(B const& ctx, moesaic::prepared_weights<B, layer>& weights, moesaic::memory& scratch) {
    home.resize(moesaic::prepared_bytes<layer>(ctx) / sizeof(line));
    workspace.resize(moesaic::workspace_bytes<layer>(ctx, T) / sizeof(line));
    scratch = {workspace.data(), workspace.size() * sizeof(line)};
    return moesaic::prepare<layer>(ctx, stored(), {home.data(), home.size() * sizeof(line)}, weights);
  }

 private:
  std::vector<float> some(int n) {
    std::vector<float> v(static_cast<std::size_t>(n));
    std::generate(v.begin(), v.end(), [&] { return static_cast<float>(bits_() >> 8) * 0x1p-24F - 0.5F; });
    return v;
  }
};

}  // namespace moe
