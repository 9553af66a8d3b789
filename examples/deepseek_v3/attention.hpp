// Multi-head latent attention over a whole prompt, in its decompressed form: keys and values of every head are computed from the latent.
#pragma once

#include <algorithm>
#include <cstdint>
#include <moesaic/num/exp.hpp>
#include <moesaic/semantics/group.hpp>
#include <moesaic/semantics/key.hpp>
#include <optional>

#include "arrays.hpp"
#include "linear.hpp"
#include "model_tensors.hpp"
#include "rms_norm.hpp"
#include "rope.hpp"

namespace deepseek_v3 {

/// Hugging Face builds the two norms inside attention with this ε whatever config.json says.
inline constexpr double inner_norm_eps = 1e-6;

/// Item i is a lane: every `lanes`-th query of head i / lanes, each against the keys s ≤ t. Lanes of one head have the same amount of work,
/// and a lane has memory for one query's scores.
template <class Model>
struct attend {
  static constexpr int heads = Model::config.num_attention_heads;
  static constexpr int nope = Model::config.qk_nope_head_dim;
  static constexpr int rope = Model::config.qk_rope_head_dim;
  static constexpr int value = Model::config.v_head_dim;

  struct scratch {};

  moesaic::matrix_view<float const> q;       // [T, heads · (nope + rope)], rotated
  moesaic::matrix_view<float const> kv;      // [T, heads · (nope + value)]
  moesaic::matrix_view<float const> k_rope;  // [T, rope], rotated, one for all heads
  float scale;
  int lanes;
  moesaic::matrix_view<float> scores;  // [heads · lanes, T]
  moesaic::matrix_view<float> out;     // [T, heads · value]

  template <moesaic::group G>
  MOESAIC_HD void operator()(G const& g, std::int64_t i, scratch&) const {
    int const head = static_cast<int>(i) / lanes;
    for (int t = static_cast<int>(i) % lanes; t < static_cast<int>(q.rows); t += lanes) query(g, head, t, scores.row(i));
  }

 private:
  /// p: room for t + 1 scores, then probabilities.
  template <moesaic::group G>
  MOESAIC_HD void query(G const& g, int head, int t, float* p) const {
    float const* const q_nope = q.row(t) + head * (nope + rope);
    float const* const q_rope = q_nope + nope;
    // Every score is written where it is ranked: one pass.
    float const largest = moesaic::score_of(g.max(t + 1, [&](int s) {
      moesaic::serial_group const one;  // its sum has a fixed order and still vectorises
      float const* const k = kv.row(s) + head * (nope + value);
      float const* const kr = k_rope.row(s);
      float const dot = one.sum(nope, [=](int i) { return q_nope[i] * k[i]; }) + one.sum(rope, [=](int i) { return q_rope[i] * kr[i]; });
      p[s] = dot * scale;
      return moesaic::ordered_key(p[s]);
    }));
    g.for_each(t + 1, [=](int s) { p[s] = moesaic::exp(p[s] - largest); });
    float const over = 1.0F / g.sum(t + 1, [=](int s) { return p[s]; });

    float* const to = out.row(t) + head * value;
    g.for_each(value, [=](int i) { to[i] = 0.0F; });
    for (int s = 0; s <= t; ++s) {
      float const weight = p[s] * over;
      float const* const v = kv.row(s) + head * (nope + value) + nope;
      g.for_each(value, [=](int i) { to[i] += weight * v[i]; });
    }
  }
};

template <class D, class Model>
class attention {
  static constexpr model_config c = Model::config;

 public:
  attention(D const& d, attention_tensors const& t)
      : q_b_(d, t.q_b), kv_a_(d, t.kv_a), kv_norm_(make_vector(d, *t.kv_norm)), kv_b_(d, t.kv_b), o_(d, t.o) {
    if constexpr (c.q_lora_rank > 0) {
      q_a_.emplace(d, t.q_a);
      q_norm_ = make_vector(d, *t.q_norm);
    }
  }

  /// Row t of x stands at position t.
  matrix<D> operator()(D const& d, matrix<D> const& x, rotation<D> const& rope) const {
    using kernel = attend<Model>;
    std::int64_t const tokens = x.rows();

    matrix<D> const q = queries(d, x);
    rope.turn(d, q.view(), kernel::heads, kernel::nope, kernel::nope + kernel::rope);

    matrix<D> const compressed = kv_a_(d, x);  // the latent, then the rope channels of the key, which take no norm
    moesaic::matrix_view<float> const both = compressed.view();
    moesaic::matrix_view<float> const latent(both.data, tokens, c.kv_lora_rank, both.stride);
    moesaic::matrix_view<float> const k_rope(both.data + c.kv_lora_rank, tokens, kernel::rope, both.stride);
    rope.turn(d, k_rope);
    matrix<D> const normed(d, tokens, c.kv_lora_rank);
    rms_norm(d, latent, kv_norm_, inner_norm_eps, normed.view());
    matrix<D> const kv = kv_b_(d, normed);

    matrix<D> const heads(d, tokens, kernel::heads * kernel::value);
    int const lanes = static_cast<int>(std::min<std::int64_t>(tokens, 8));
    matrix<D> const scores(d, std::int64_t{kernel::heads} * lanes, tokens);
    launch(d, scores.rows(), kernel{q.view(), kv.view(), k_rope, static_cast<float>(softmax_scale(c)), lanes, scores.view(), heads.view()});
    return o_(d, heads);
  }

 private:
  matrix<D> queries(D const& d, matrix<D> const& x) const {
    if constexpr (c.q_lora_rank > 0)
      return q_b_(d, rms_norm(d, (*q_a_)(d, x), q_norm_, inner_norm_eps));
    else
      return q_b_(d, x);
  }

  std::optional<linear<D, c.weights>> q_a_;
  vector<D> q_norm_;
  linear<D, c.weights> q_b_, kv_a_;
  vector<D> kv_norm_;
  linear<D, c.weights> kv_b_, o_;
};

}  // namespace deepseek_v3
