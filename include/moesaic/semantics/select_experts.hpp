// From one token's router logits to its experts and their weights: scores, bias, group limit, top-k, normalisation.
#pragma once

#include <cstdint>

#include <moesaic/config/layer.hpp>
#include <moesaic/core/views.hpp>
#include <moesaic/semantics/handoff.hpp>
#include <moesaic/semantics/key.hpp>
#include <moesaic/semantics/score.hpp>
#include <moesaic/semantics/top_k.hpp>

namespace moesaic::inline MOESAIC_ABI {

/// What a router has beside its matrix: fp32 [E+Z] each, null unless the config says that the model has it.
struct router_biases {
  float const* bias = nullptr;        ///< config.bias: the correction bias
  float const* logit_bias = nullptr;  ///< config.logit_bias: the linear layer's own bias

  constexpr router_biases(float const* b = nullptr, float const* l = nullptr) : bias(b), logit_bias(l) {}
};

/// Row t of `logits` [tokens, E+Z] → out.ids[t, :], out.weights[t, :].
///
/// Ranked is score + bias (or logit + bias); the weight comes from the score alone. A ranked value that is NaN (NaN logit or bias) is
/// unusable: it loses to every number, and where fewer than K are usable the lowest unused ids follow with weight 0. Source: DeepSeek-V3's
/// noaux_tc (groups that are not kept rank below everything), DeepSeek-V2's group-limited greedy, plain top-k elsewhere; reference table in
/// docs/models.md.
///
/// Deterministic and the same bits in every group: sums have a fixed order (group.hpp), selected scores are added in rank order.
template <class L>
struct select_experts {
  static constexpr moe_config config = L::config;
  static constexpr int choices = config.choices();
  static constexpr int group_size = choices / config.n_group;
  using score = scores<L>;

  struct scratch {
    float score[choices];
    std::uint32_t key[choices];
    std::uint32_t group_key[config.n_group];
    std::int32_t kept_group[config.topk_group];
    std::int32_t id[config.top_k];
    std::int32_t usable_id[config.top_k];
    float picked[config.top_k];
  };

  matrix_view<float const> logits;
  router_biases biases;
  topk_choice out;

  template <group G>
  MOESAIC_HD void operator()(G const& g, std::int64_t t, scratch& s) const {
    score::logits(g, logits.row(t), biases.logit_bias, s.score);
    if constexpr (config.rank == rank_fn::logit) keys(g, s);
    score::from_logits(g, s.score);
    if constexpr (config.rank == rank_fn::score) keys(g, s);
    if constexpr (config.topk_group < config.n_group) keep_best_groups(g, s);
    int const usable = top_k(g, s.key, choices, config.top_k, s.id);
    std::int32_t* const ids = out.ids + t * config.top_k;
    g.for_each(config.top_k, [&s, ids, usable](int k) {
      ids[k] = s.id[k];
      s.usable_id[k] = k < usable ? s.id[k] : -1;
    });
    score::weigh(g, s.score, s.usable_id, s.picked, out.weights + t * config.top_k);
  }

  /// By what a group is ranked, from the keys of its two best. A missing second score counts as −inf, and so does a sum that is NaN
  /// (+inf − inf): a group with a usable expert stands above a group with none.
  MOESAIC_INLINE static std::uint32_t group_key(std::uint32_t first, [[maybe_unused]] std::uint32_t second) {
    if constexpr (config.group_score == group_score_fn::top2_sum) {
      if (first == no_key) return no_key;
      float const lowest = from_bits(0x80000000U | inf_bits);
      std::uint32_t const sum = ordered_key(score_of(first) + (second != no_key ? score_of(second) : lowest));
      return sum != no_key ? sum : ordered_key(lowest);
    } else {
      return first;
    }
  }

 private:
  template <group G>
  MOESAIC_INLINE void keys(G const& g, scratch& s) const {
    float const* const b = biases.bias;
    g.for_each(choices, [&s, b](int e) {
      static_cast<void>(b);  // used only if there is a bias; clang would warn of the capture
      if constexpr (config.bias)
        s.key[e] = ordered_key(s.score[e] + b[e]);
      else
        s.key[e] = ordered_key(s.score[e]);
    });
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
      s.group_key[j] = group_key(first, second);
    });
    top_k(g, s.group_key, config.n_group, config.topk_group, s.kept_group);
    g.for_each(choices, [&s](int e) {
      constexpr std::uint32_t other = config.group_mask == group_mask_fn::zero ? ordered_key(0.0F) : no_key;
      bool kept = false;
      for (int j = 0; j < config.topk_group; ++j) kept = kept || s.kept_group[j] == e / group_size;
      s.key[e] = kept || s.key[e] == no_key ? s.key[e] : other;
    });
  }
};

/// The weights of experts that somebody else has chosen: row t of `logits`, choice.ids[t, :] → choice.weights[t, :]. An id that is no
/// choice, or whose score is NaN, weighs 0. DeepSeek-V4's first layers take their ids from a table of token ids.
template <class L>
struct weigh_experts {
  static constexpr moe_config config = L::config;
  using score = scores<L>;

  struct scratch {
    float score[config.choices()];
    float picked[config.top_k];
  };

  matrix_view<float const> logits;
  router_biases biases;
  topk_choice choice;

  template <group G>
  MOESAIC_HD void operator()(G const& g, std::int64_t t, scratch& s) const {
    score::logits(g, logits.row(t), biases.logit_bias, s.score);
    score::from_logits(g, s.score);
    score::weigh(g, s.score, choice.ids + t * config.top_k, s.picked, choice.weights + t * config.top_k);
  }
};

/// In the place of select_experts<L> where a front is in one piece and the map's ids are there: nothing is selected.
template <class L>
struct given_experts {};

}  // namespace moesaic::inline MOESAIC_ABI
