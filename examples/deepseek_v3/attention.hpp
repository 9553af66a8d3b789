// Multi-head latent attention over a whole prompt, in its decompressed form: keys and values of every head are computed from the latent.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>

#include "arrays.hpp"
#include "linear.hpp"
#include "model_tensors.hpp"
#include "rms_norm.hpp"
#include "rope.hpp"

namespace deepseek_v3 {

/// Hugging Face builds the two norms inside attention with this ε whatever config.json says.
inline constexpr double inner_norm_eps = 1e-6;

/// One query of one head against the keys s ≤ t. Scores and probabilities live in the team's scratch; a team is one thread.
template <class Model>
struct attend {
  static constexpr int heads = Model::config.num_attention_heads;
  static constexpr int nope = Model::config.qk_nope_head_dim;
  static constexpr int rope = Model::config.qk_rope_head_dim;
  static constexpr int value = Model::config.v_head_dim;

  using policy = Kokkos::TeamPolicy<exec, Kokkos::Schedule<Kokkos::Dynamic>>;
  using scratch = Kokkos::View<float*, exec::scratch_memory_space, Kokkos::MemoryUnmanaged>;

  moesaic::matrix_view<float const> q;       // [T, heads · (nope + rope)], rotated
  moesaic::matrix_view<float const> kv;      // [T, heads · (nope + value)]
  moesaic::matrix_view<float const> k_rope;  // [T, rope], rotated, one for all heads
  float scale;
  moesaic::matrix_view<float> out;  // [T, heads · value]

  void run() const {
    int const tokens = static_cast<int>(q.rows);
    Kokkos::parallel_for(
        policy(tokens * heads, 1).set_scratch_size(1, Kokkos::PerTeam(scratch::shmem_size(static_cast<std::size_t>(q.rows)))), *this);
  }

  /// Queries of one head follow each other, because they read the same keys.
  void operator()(typename policy::member_type const& member) const {
    int const tokens = static_cast<int>(q.rows);
    int const head = member.league_rank() / tokens, t = member.league_rank() % tokens;
    scratch const p(member.team_scratch(1), static_cast<std::size_t>(q.rows));
    moesaic::serial_group const one;  // its sum has a fixed order and still vectorises

    float const* const q_nope = q.row(t) + head * (nope + rope);
    float const* const q_rope = q_nope + nope;
    float largest = -std::numeric_limits<float>::infinity();
    for (int s = 0; s <= t; ++s) {
      float const* const k = kv.row(s) + head * (nope + value);
      float const* const kr = k_rope.row(s);
      float const dot = one.sum(nope, [=](int i) { return q_nope[i] * k[i]; }) + one.sum(rope, [=](int i) { return q_rope[i] * kr[i]; });
      p(s) = dot * scale;
      largest = std::max(largest, p(s));
    }
    for (int s = 0; s <= t; ++s) p(s) = moesaic::exp(p(s) - largest);
    float const over = 1.0F / one.sum(t + 1, [&](int s) { return p(s); });

    float* const to = out.row(t) + head * value;
    std::fill_n(to, value, 0.0F);
    for (int s = 0; s <= t; ++s) {
      float const weight = p(s) * over;
      float const* const v = kv.row(s) + head * (nope + value) + nope;
      for (int i = 0; i < value; ++i) to[i] += weight * v[i];
    }
  }
};

template <class Model>
class attention {
  static constexpr model_config const& c = Model::config;

 public:
  attention(context const& ctx, attention_tensors const& t)
      : q_b_(ctx, t.q_b), kv_a_(ctx, t.kv_a), kv_norm_(make_vector(*t.kv_norm)), kv_b_(ctx, t.kv_b), o_(ctx, t.o) {
    if constexpr (c.q_lora_rank > 0) {
      q_a_.emplace(ctx, t.q_a);
      q_norm_ = make_vector(*t.q_norm);
    }
  }

  /// Row t of x stands at position t.
  matrix operator()(context const& ctx, matrix const& x, rotation const& rope) const {
    using kernel = attend<Model>;
    std::int64_t const tokens = rows_of(x);

    matrix const q = queries(ctx, x);
    moesaic::matrix_view<float> const q_rows = view_of(q);
    for_each(tokens, [=, &rope](std::int64_t t) {
      for (int h = 0; h < kernel::heads; ++h) rope.turn(t, q_rows.row(t) + h * (kernel::nope + kernel::rope) + kernel::nope);
    });

    matrix const compressed = kv_a_(ctx, x);  // the latent, then the rope channels of the key, which take no norm
    std::int64_t const width = c.kv_lora_rank + kernel::rope;
    moesaic::matrix_view<float> const latent(compressed.data(), tokens, c.kv_lora_rank, width);
    moesaic::matrix_view<float> const k_rope(compressed.data() + c.kv_lora_rank, tokens, kernel::rope, width);
    for_each(tokens, [=, &rope](std::int64_t t) { rope.turn(t, k_rope.row(t)); });
    matrix const normed = make_matrix(tokens, c.kv_lora_rank);
    rms_norm(latent, kv_norm_, inner_norm_eps, view_of(normed));
    matrix const kv = kv_b_(ctx, normed);

    matrix const heads = make_matrix(tokens, kernel::heads * kernel::value);
    kernel{view_of(q), view_of(kv), k_rope, static_cast<float>(softmax_scale(c)), view_of(heads)}.run();
    return o_(ctx, heads);
  }

 private:
  matrix queries(context const& ctx, matrix const& x) const {
    if constexpr (c.q_lora_rank > 0)
      return q_b_(ctx, rms_norm((*q_a_)(ctx, x), q_norm_, inner_norm_eps));
    else
      return q_b_(ctx, x);
  }

  std::optional<linear<c.weights>> q_a_;
  vector q_norm_;
  linear<c.weights> q_b_, kv_a_;
  vector kv_norm_;
  linear<c.weights> kv_b_, o_;
};

}  // namespace deepseek_v3
