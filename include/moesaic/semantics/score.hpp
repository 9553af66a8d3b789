// From router logits to scores, and from the selected experts' scores to their combine weights.
#pragma once

#include <cstdint>

#include <moesaic/config/layer.hpp>
#include <moesaic/num/exp.hpp>
#include <moesaic/semantics/group.hpp>
#include <moesaic/semantics/key.hpp>

namespace moesaic::inline MOESAIC_ABI {

/// Scores of all E+Z choices, or, where the model's scores exist for the selected alone, their logits.
template <class L>
struct scores {
  static constexpr moe_config config = L::config;
  static constexpr int count = config.choices();
  static constexpr bool of_selected = config.score == score_fn::softmax_of_selected || config.score == score_fn::sparsemixer;

  /// to[e] = the logit that the model means: z + the linear layer's bias, scaled, softly capped.
  template <group G>
  MOESAIC_INLINE static void logits(G const& g, float const* z, float const* logit_bias, float* to) {
    g.for_each(count, [=](int e) { to[e] = logit(z[e], logit_bias, e); });
  }

  /// The same for choice e alone, whose router output is v.
  MOESAIC_INLINE static float logit(float v, [[maybe_unused]] float const* logit_bias, [[maybe_unused]] int e) {
    if constexpr (config.logit_bias) v = v + logit_bias[e];
    if constexpr (config.logit_scale != 1.0F) v = product(v, config.logit_scale);
    if constexpr (config.logit_softcap > 0.0F) v = product(tanh(detail::quotient(v, config.logit_softcap)), config.logit_softcap);
    return v;
  }

  /// Whether a score depends on its own logit alone, and that score.
  static constexpr bool elementwise = config.score == score_fn::sigmoid || config.score == score_fn::sqrt_softplus;
  MOESAIC_INLINE static float from_logit(float v) requires elementwise {
    if constexpr (config.score == score_fn::sigmoid) return sigmoid(v);
    if constexpr (config.score == score_fn::sqrt_softplus) return detail::square_root(softplus(v));
  }

  /// score[e]: logits → scores, in place. The softmax leaves NaN logits out; of logits equal to the largest, +inf included, each counts as
  /// exp(0).
  template <group G>
  MOESAIC_INLINE static void from_logits(G const& g, float* score) {
    if constexpr (elementwise) {
      g.for_each(count, [=](int e) { score[e] = from_logit(score[e]); });
    } else if constexpr (config.score == score_fn::softmax) {
      std::uint32_t const top = g.max(count, [=](int e) { return ordered_key(score[e]); });
      float const largest = score_of(top);
      g.for_each(count, [=](int e) { score[e] = !is_nan(score[e]) && ordered_key(score[e]) == top ? 1.0F : exp(score[e] - largest); });
      float const total = g.sum(count, [=](int e) { return is_nan(score[e]) ? 0.0F : score[e]; });
      g.for_each(count, [=](int e) { score[e] = is_nan(score[e]) ? score[e] : detail::quotient(score[e], total); });
    }
  }

  /// weights[k] of the experts id[0 … K) from what from_logits left in `score`. An id outside the choices, or one whose score is NaN,
  /// weighs 0. Sums add in the order of k. `picked` [K] is scratch.
  template <group G>
  MOESAIC_INLINE static void weigh(G const& g, float const* score, std::int32_t const* id, float* picked, float* weights) {
    if constexpr (config.score == score_fn::sparsemixer) {
      for (int k = 0; k < config.top_k; ++k) {
        float const m = is_choice(id[k]) ? score[id[k]] : from_bits(nan_bits);
        float const total = g.sum(count, [=](int e) {
          bool gone = is_nan(score[e]) || masked(score[e], m);
          for (int earlier = 0; earlier < k; ++earlier) gone = gone || id[earlier] == e;
          return gone ? 0.0F : ordered_key(score[e]) == ordered_key(m) ? 1.0F : exp(score[e] - m);
        });
        g.single([=] { weights[k] = is_nan(m) ? 0.0F : product(detail::quotient(1.0F, total), weight_scale); });
      }
    } else {
      g.single([=] {
        float divisor = 1.0F;
        if constexpr (config.score == score_fn::softmax_of_selected)
          divisor = exponentials(score, id, picked);
        else
          for (int k = 0; k < config.top_k; ++k) picked[k] = is_choice(id[k]) ? score[id[k]] : from_bits(nan_bits);
        if constexpr (config.norm != norm_fn::none) {
          float total = 0.0F;
          for (int k = 0; k < config.top_k; ++k) total += is_nan(picked[k]) ? 0.0F : picked[k];
          divisor = divisor_of(total);
        }
        for (int k = 0; k < config.top_k; ++k) weights[k] = weight(picked[k], divisor);
      });
    }
  }

  /// By what the selected scores are divided, from their sum; with norm_fn::none that is 1.
  MOESAIC_INLINE static float divisor_of(float total) {
    if constexpr (config.norm == norm_fn::none) return 1.0F;
    return config.norm == norm_fn::sum ? total + config.norm_eps : total > config.norm_eps ? total : config.norm_eps;
  }

  /// The weight of one selected score. All of them may have underflowed to 0; without norm_eps the quotient would be 0/0.
  MOESAIC_INLINE static float weight(float picked, float divisor) {
    return is_nan(picked) || !(divisor > 0.0F) ? 0.0F : product(detail::quotient(picked, divisor), weight_scale);
  }

 private:
  static constexpr float weight_scale = config.scale_at == scale_site::weight ? config.route_scale : 1.0F;

  MOESAIC_INLINE static bool is_choice(std::int32_t id) { return id >= 0 && id < count; }

  MOESAIC_INLINE static bool masked(float z, float m) {
    float const magnitude = from_bits(abs_bits(z));
    return detail::quotient(m - z, magnitude > m ? magnitude : m) > 0.02F;
  }

  /// picked[k] = exp(logit − the largest of the selected); answers their sum.
  MOESAIC_INLINE static float exponentials(float const* logit, std::int32_t const* id, float* picked) {
    std::uint32_t top = no_key;
    for (int k = 0; k < config.top_k; ++k) {
      std::uint32_t const key = is_choice(id[k]) ? ordered_key(logit[id[k]]) : no_key;
      top = key > top ? key : top;
    }
    float total = 0.0F;
    for (int k = 0; k < config.top_k; ++k) {
      std::uint32_t const key = is_choice(id[k]) ? ordered_key(logit[id[k]]) : no_key;
      picked[k] = key == no_key ? from_bits(nan_bits) : key == top ? 1.0F : exp(logit[id[k]] - score_of(top));
      total += key == no_key ? 0.0F : picked[k];
    }
    return total;
  }
};

}  // namespace moesaic::inline MOESAIC_ABI
