// What a model's MoE layer is: shapes and the rules of its router and experts. A model is a type whose static member `config` is one of
// these. Which family needs which rule: docs/models.md.
#pragma once

#include <moesaic/core/macros.hpp>

namespace moesaic::inline MOESAIC_ABI {

/// How router logits z become the scores that weigh the experts (and, with rank_fn::score, rank them).
enum class score_fn {
  softmax,              // exp(z) / Σ exp(z)            Mixtral, Qwen, DeepSeek-V2
  sigmoid,              // 1 / (1 + exp(−z))            DeepSeek-V3, GLM-4.5, Kimi-K2
  sqrt_softplus,        // √ log(1 + exp(z))            DeepSeek-V4
  softmax_of_selected,  // the softmax over the selected experts alone; ranked are the logits      gpt-oss, Granite
  sparsemixer,          // Phi-3.5-MoE: ranked are the logits; a pick's weight is its softmax among the experts that were not picked
                        // before it and for which (m − z) / max(|z|, m) ≤ 0.02, m the pick's logit
};

/// What is compared when experts are ranked. A correction bias is added to it.
enum class rank_fn {
  score,  // the score: experts whose scores round to the same number are tied
  logit,  // the logit: Llama-4, gpt-oss
};

/// The value by which whole groups of experts are ranked when topk_group < n_group.
enum class group_score_fn {
  max,       // the group's best ranked value                             DeepSeek-V2
  top2_sum,  // the sum of the group's two best (biased) values           DeepSeek-V3
};

/// What an expert of a group that was not kept is ranked as.
enum class group_mask_fn {
  minus_inf,  // below everything: it is never selected          DeepSeek-V3
  zero,       // 0: it stands above experts whose biased score is negative       Mistral Large 3, AXK2
};

/// What happens to the scores of the selected experts before they become combine weights.
enum class norm_fn {
  none,         // w = s · route_scale
  sum,          // w = s / (Σ selected s + norm_eps) · route_scale
  clamped_sum,  // w = s / max(Σ selected s, norm_eps) · route_scale      ERNIE-4.5
};

/// Where the route_scale is multiplied in: it makes a difference of rounding alone.
enum class scale_site {
  weight,  // into each combine weight
  output,  // into the sum over the experts
};

/// Where an expert's weight is multiplied in.
enum class weight_site {
  output,  // y += w · expert(x)
  input,   // y += expert(w · x)       Llama-4
};

/// The activation between the two expert GEMMs; g and u are the gate and up projections. L is the config's act_limit; silu(v) = v · σ(v).
enum class activation_fn {
  swiglu,       // silu(min(g, L)) · clamp(u, ±L)
  swiglu_step,  // min(silu(g), L) · clamp(u, ±L)                       Step-3.7
  swiglu_oai,   // v · σ(1.702 v) · (clamp(u, ±L) + 1), v = min(g, L)   gpt-oss, MiniMax-M3
  geglu,        // g · Φ(g) · u, Φ the normal distribution              Grok
  geglu_tanh,   // g · (1 + tanh(√(2/π) (g + 0.044715 g³))) / 2 · u     Gemma-4
  situ,         // 4 tanh(g/4) σ(g) · 25 tanh(u/25)                     Kimi-K3
  relu2,        // max(u, 0)²; there is no gate projection              Nemotron-3
};

MOESAIC_HD constexpr bool is_gated(activation_fn a) { return a != activation_fn::relu2; }

/// One MoE layer. Numbers count elements. DeepSeek-V3's values stand in config/models.hpp.
struct moe_config {
  int hidden;   ///< H, width of the residual stream; a multiple of 8
  int inter;    ///< I, width inside one expert; a multiple of 8
  int experts;  ///< E, routed experts
  int top_k;    ///< K, experts per token

  int zero_experts = 0;  ///< Z: the router also chooses from the ids E … E+Z−1, which stand for the identity (LongCat-Flash)

  bool logit_bias = false;     ///< the router's linear layer has a bias, fp32 [E+Z]
  float logit_scale = 1.0F;    ///< z is multiplied by it first
  float logit_softcap = 0.0F;  ///< then, if not 0, z becomes cap · tanh(z / cap)

  score_fn score = score_fn::softmax;
  rank_fn rank = rank_fn::score;
  bool bias = false;  ///< an fp32 correction bias is added to the ranked value, never to the weights

  int n_group = 1;     ///< the experts form n_group groups of neighbours …
  int topk_group = 1;  ///< … of which the best topk_group may be selected from
  group_score_fn group_score = group_score_fn::top2_sum;
  group_mask_fn group_mask = group_mask_fn::minus_inf;

  norm_fn norm = norm_fn::none;
  float norm_eps = 0.0F;
  float route_scale = 1.0F;
  scale_site scale_at = scale_site::weight;
  weight_site weight_at = weight_site::output;

  activation_fn act = activation_fn::swiglu;
  float act_limit = 0.0F;    ///< 0: no limit
  bool expert_bias = false;  ///< fp32 biases of the routed experts' gate, up and down projections

  int shared_inter = 0;           ///< width of the shared expert (n_shared · inter where a model has several), 0: none
  bool shared_gated = false;      ///< its output is multiplied by σ(x · w), w [1, H] (Qwen2-MoE, Qwen3-Next)
  float shared_scale = 1.0F;      ///< … or by this number
  float shared_act_limit = 0.0F;  ///< its own act_limit

  /// What the router chooses from: E + Z.
  MOESAIC_HD constexpr int choices() const { return experts + zero_experts; }
};

}  // namespace moesaic::inline MOESAIC_ABI
