// From one token's router logits to its experts and their weights: scores, bias, group limit, top-k, normalisation.
#pragma once

#include <cstdint>

#include <moesaic/config/layer.hpp>
#include <moesaic/core/views.hpp>
#include <moesaic/num/exp.hpp>
#include <moesaic/semantics/handoff.hpp>
#include <moesaic/semantics/key.hpp>
#include <moesaic/semantics/top_k.hpp>

namespace moesaic::inline MOESAIC_ABI {

/// Row t of `logits` [tokens, E] → out.ids[t, :], out.weights[t, :]. `bias` is fp32 [E], null unless config.bias.
///
/// Ranked is score + bias; the weight comes from the score alone. A score that is NaN (NaN logit or bias) is unusable: it loses to every
/// number, and where fewer than K are usable the lowest unused ids follow with weight 0. The softmax leaves NaN logits out; of logits
/// equal to the largest, +inf included, each counts as exp(0). Source: DeepSeek-V3's noaux_tc (groups that are not kept rank below
/// everything), DeepSeek-V2's group-limited greedy, plain top-k elsewhere; reference table in docs/models.md.
///
/// Deterministic and the same bits in every group: sums have a fixed order (group.hpp), selected scores are added in rank order.
template <class L>
struct select_experts {
  static constexpr moe_config config = L::config;
  static constexpr int group_size = config.experts / config.n_group;

  struct scratch {
    float score[config.experts];
    std::uint32_t key[config.experts];
    std::uint32_t group_key[config.n_group];
    std::int32_t kept_group[config.topk_group];
    std::int32_t id[config.top_k];
  };

  matrix_view<float const> logits;
  float const* bias;
  topk_choice out;

  template <group G>
  MOESAIC_HD void operator()(G const& g, std::int64_t t, scratch& s) const {
    scores(g, logits.row(t), s.score);
    float const* const b = bias;
    g.for_each(config.experts, [&s, b](int e) {
      static_cast<void>(b);  // used only if there is a bias; clang would warn of the capture
      if constexpr (config.bias)
        s.key[e] = ordered_key(s.score[e] + b[e]);
      else
        s.key[e] = ordered_key(s.score[e]);
    });
    if constexpr (config.topk_group < config.n_group) keep_best_groups(g, s);
    int const usable = top_k(g, s.key, config.experts, config.top_k, s.id);
    std::int32_t* const ids = out.ids + t * config.top_k;
    float* const weights = out.weights + t * config.top_k;
    g.single([&s, ids, weights, usable] { write_weights(s, usable, ids, weights); });
  }

 private:
  template <group G>
  MOESAIC_INLINE static void scores(G const& g, float const* z, float* score) {
    if constexpr (config.score == score_fn::sigmoid) {
      g.for_each(config.experts, [=](int e) { score[e] = sigmoid(z[e]); });
    } else {
      std::uint32_t const top = g.max(config.experts, [=](int e) { return ordered_key(z[e]); });
      float const largest = score_of(top);
      g.for_each(config.experts, [=](int e) { score[e] = ordered_key(z[e]) == top ? 1.0F : exp(z[e] - largest); });
      float const total = g.sum(config.experts, [=](int e) { return ordered_key(score[e]) == no_key ? 0.0F : score[e]; });
      g.for_each(config.experts, [=](int e) { score[e] = ordered_key(z[e]) == no_key ? z[e] : score[e] / total; });
    }
  }

  template <group G>
  MOESAIC_INLINE static void keep_best_groups(G const& g, scratch& s) {
    g.for_each(config.n_group, [&s](int j) {
      std::uint32_t first = no_key, second = no_key;
      for (int e = j * group_size; e < (j + 1) * group_size; ++e) {
        std::uint32_t const key = s.key[e];
        second = key > first ? first : (key > second ? key : second);
        first = key > first ? key : first;
      }
      if constexpr (config.group_score == group_score_fn::top2_sum) {
        // A missing second score counts as −inf, and so does a sum that is NaN (+inf − inf): a group with a usable expert stands above a
        // group with none.
        if (first != no_key) {
          float const lowest = from_bits(0x80000000U | inf_bits);
          std::uint32_t const sum = ordered_key(score_of(first) + (second != no_key ? score_of(second) : lowest));
          first = sum != no_key ? sum : ordered_key(lowest);
        }
      }
      s.group_key[j] = first;
    });
    top_k(g, s.group_key, config.n_group, config.topk_group, s.kept_group);
    g.for_each(config.experts, [&s](int e) {
      bool kept = false;
      for (int j = 0; j < config.topk_group; ++j) kept = kept || s.kept_group[j] == e / group_size;
      s.key[e] = kept ? s.key[e] : no_key;
    });
  }

  MOESAIC_HD static void write_weights(scratch const& s, int usable, std::int32_t* ids, float* weights) {
    float divisor = 1.0F;
    if constexpr (config.norm == norm_fn::sum) {
      float total = 0.0F;
      for (int k = 0; k < usable; ++k) total += s.score[s.id[k]];
      divisor = total + config.norm_eps;
    }
    for (int k = 0; k < config.top_k; ++k) {
      ids[k] = s.id[k];
      // All selected scores may have underflowed to 0; without norm_eps the quotient would be 0/0.
      weights[k] = k < usable && divisor > 0.0F ? product(s.score[s.id[k]] / divisor, config.route_scale) : 0.0F;
    }
  }
};

}  // namespace moesaic::inline MOESAIC_ABI
