// What a model's MoE layer is: shapes and the rules of its router. A model is a type whose static member `config` is one of these.
#pragma once

#include <moesaic/core/macros.hpp>

namespace moesaic::inline MOESAIC_ABI {

/// How a router logit z becomes the score that is ranked and later weighs the expert.
enum class score_fn {
  softmax,  // exp(z) / Σ exp(z)      Mixtral, Qwen, DeepSeek-V2
  sigmoid,  // 1 / (1 + exp(−z))      DeepSeek-V3, GLM-4.5, Kimi-K2
};

/// The value by which whole groups of experts are ranked when topk_group < n_group.
enum class group_score_fn {
  max,       // the group's best score                              DeepSeek-V2
  top2_sum,  // the sum of the group's two best (biased) scores     DeepSeek-V3
};

/// What happens to the scores of the selected experts before they become combine weights.
enum class norm_fn {
  none,  // w = s · route_scale
  sum,   // w = s / (Σ selected s + norm_eps) · route_scale
};

/// One MoE layer. Numbers count elements. DeepSeek-V3's values stand in config/models.hpp.
struct moe_config {
  int hidden;   ///< H, width of the residual stream; a multiple of 8
  int inter;    ///< I, width inside one expert; a multiple of 8
  int experts;  ///< E, routed experts
  int top_k;    ///< K, experts per token

  score_fn score = score_fn::softmax;
  bool bias = false;  ///< an fp32 correction bias is added to the scores for the selection only, never to the weights

  int n_group = 1;     ///< the experts form n_group groups of neighbours …
  int topk_group = 1;  ///< … of which the best topk_group may be selected from
  group_score_fn group_score = group_score_fn::top2_sum;

  norm_fn norm = norm_fn::none;
  float norm_eps = 0.0F;
  float route_scale = 1.0F;

  int shared_inter = 0;  ///< width of the shared expert (n_shared · inter where a model has several), 0: none. Added unscaled
};

}  // namespace moesaic::inline MOESAIC_ABI
