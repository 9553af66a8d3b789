// Published models as types: numbers and rules of their MoE layers. Sources: the defaults of transformers' configuration classes and the
// routing code beside them (read in 5.23 and 5.24), DeepSeek's own configs for V2 and V3, TensorRT-LLM's benchmark specs where a comment
// says so. Which family needs which rule, and families without a type here: docs/models.md. A model of your own is a struct like these.
#pragma once

#include <moesaic/config/moe_config.hpp>

namespace moesaic::inline MOESAIC_ABI::models {

namespace detail {

/// DeepSeek-V3's router without groups, which many families share: sigmoid scores, a bias for the selection, weights divided by their sum.
constexpr moe_config sigmoid_router(int hidden, int inter, int experts, int top_k, float route_scale, int shared_inter) {
  return {.hidden = hidden,
          .inter = inter,
          .experts = experts,
          .top_k = top_k,
          .score = score_fn::sigmoid,
          .bias = true,
          .norm = norm_fn::sum,
          .norm_eps = 1e-20F,
          .route_scale = route_scale,
          .shared_inter = shared_inter};
}

/// The same with groups: the best `kept` of n_group by the sum of their two best scores.
constexpr moe_config grouped_sigmoid_router(moe_config c, int n_group, int kept) {
  c.n_group = n_group;
  c.topk_group = kept;
  return c;
}

/// Softmax scores, the weights as they are or divided by their sum.
constexpr moe_config softmax_router(int hidden, int inter, int experts, int top_k, norm_fn norm, int shared_inter = 0) {
  return {.hidden = hidden, .inter = inter, .experts = experts, .top_k = top_k, .norm = norm, .shared_inter = shared_inter};
}

/// c with some members changed by f.
template <class F>
constexpr moe_config with(moe_config c, F const& f) {
  f(c);
  return c;
}

}  // namespace detail

/// DeepSeek-V3, R1, V3.1, V3.2 (671B): 4 of 8 groups.
struct deepseek_v3 {
  static constexpr moe_config config = detail::grouped_sigmoid_router(detail::sigmoid_router(7168, 2048, 256, 8, 2.5F, 2048), 8, 4);
};

/// DeepSeek-V2 (236B): softmax, 3 of 8 groups by their best score, two shared experts as one of double width.
struct deepseek_v2 {
  static constexpr moe_config config = detail::with(detail::softmax_router(5120, 1536, 160, 6, norm_fn::none, 3072), [](moe_config& c) {
    c.n_group = 8;
    c.topk_group = 3;
    c.group_score = group_score_fn::max;
    c.route_scale = 16.0F;
  });
};

/// DeepSeek-V2-Lite (16B): plain softmax top-6, two shared experts as one of double width.
struct deepseek_v2_lite {
  static constexpr moe_config config = detail::softmax_router(2048, 1408, 64, 6, norm_fn::none, 2816);
};

/// DeepSeek-V4-Flash: square roots of softplus, activations clamped at 10.
struct deepseek_v4_flash {
  static constexpr moe_config config = detail::with(detail::sigmoid_router(4096, 2048, 256, 6, 1.5F, 2048), [](moe_config& c) {
    c.score = score_fn::sqrt_softplus;
    c.act_limit = c.shared_act_limit = 10.0F;
  });
};

/// Its first three layers: the ids come from a table of token ids (given_choice::ids), there is no bias.
struct deepseek_v4_flash_hash {
  static constexpr moe_config config = detail::with(deepseek_v4_flash::config, [](moe_config& c) { c.bias = false; });
};

/// DeepSeek-V4-Pro. Shapes from TensorRT-LLM's specs; route_scale 2.5 is from memory: compare it with your config.json.
struct deepseek_v4_pro {
  static constexpr moe_config config = detail::with(deepseek_v4_flash::config, [](moe_config& c) {
    c.hidden = 7168;
    c.inter = c.shared_inter = 3072;
    c.experts = 384;
    c.route_scale = 2.5F;
  });
};

/// Kimi-K2, K2.5. Shapes from TensorRT-LLM's specs; route_scale 2.827 is from memory: compare it with your config.json.
struct kimi_k2 {
  static constexpr moe_config config = detail::sigmoid_router(7168, 2048, 384, 8, 2.827F, 2048);
};

/// Kimi-Linear-48B-A3B.
struct kimi_linear {
  static constexpr moe_config config = detail::sigmoid_router(2304, 1024, 256, 8, 2.446F, 1024);
};

/// Moonlight-16B-A3B.
struct moonlight {
  static constexpr moe_config config = detail::sigmoid_router(2048, 1408, 64, 6, 2.446F, 2816);
};

/// GLM-5 (glm_moe_dsa).
struct glm5 {
  static constexpr moe_config config = detail::sigmoid_router(6144, 2048, 256, 8, 2.5F, 2048);
};

/// GLM-4.5-Air (the defaults of glm4_moe).
struct glm4_5_air {
  static constexpr moe_config config = detail::sigmoid_router(4096, 1408, 128, 8, 1.0F, 1408);
};

/// GLM-4-MoE-Lite.
struct glm4_moe_lite {
  static constexpr moe_config config = detail::sigmoid_router(2048, 1536, 64, 4, 1.8F, 1536);
};

/// MiMo-V2-Flash.
struct mimo_v2_flash {
  static constexpr moe_config config = detail::sigmoid_router(4096, 2048, 256, 8, 1.0F, 0);
};

/// Bailing-hybrid (Ling, Ring): 4 of 8 groups.
struct bailing_hybrid {
  static constexpr moe_config config = detail::grouped_sigmoid_router(detail::sigmoid_router(2560, 768, 512, 8, 2.5F, 768), 8, 4);
};

/// Solar-Open.
struct solar_open {
  static constexpr moe_config config = detail::sigmoid_router(4096, 1280, 128, 8, 1.0F, 1280);
};

/// EXAONE-MoE.
struct exaone_moe {
  static constexpr moe_config config = detail::sigmoid_router(4096, 1024, 64, 8, 2.5F, 1024);
};

/// Hy3 (hy_v3).
struct hy3 {
  static constexpr moe_config config = detail::sigmoid_router(4096, 1536, 192, 8, 2.826F, 1536);
};

/// LFM2-8B-A1B.
struct lfm2_8b {
  static constexpr moe_config config =
      detail::with(detail::sigmoid_router(2048, 1792, 32, 4, 1.0F, 0), [](moe_config& c) { c.norm_eps = 1e-6F; });
};

/// MiniMax-M2: nothing is added to the sum.
struct minimax_m2 {
  static constexpr moe_config config =
      detail::with(detail::sigmoid_router(3072, 1536, 256, 8, 1.0F, 0), [](moe_config& c) { c.norm_eps = 0.0F; });
};

/// MiniMax-M3: gpt-oss's activation, the scale on the routed output.
struct minimax_m3 {
  static constexpr moe_config config = detail::with(detail::sigmoid_router(6144, 3072, 128, 4, 2.0F, 3072), [](moe_config& c) {
    c.norm_eps = 0.0F;
    c.scale_at = scale_site::output;
    c.act = activation_fn::swiglu_oai;
    c.act_limit = c.shared_act_limit = 7.0F;
  });
};

/// Step-3.7-Flash, all MoE layers but the last two.
struct step3_7_flash {
  static constexpr moe_config config = detail::with(detail::sigmoid_router(4096, 1280, 288, 8, 1.0F, 1280), [](moe_config& c) {
    c.norm_eps = 0.0F;
    c.scale_at = scale_site::output;
    c.act = activation_fn::swiglu_step;
  });
};

/// Its layers 43 and 44.
struct step3_7_flash_clamped {
  static constexpr moe_config config = detail::with(step3_7_flash::config, [](moe_config& c) {
    c.act_limit = 7.0F;
    c.shared_act_limit = 16.0F;
  });
};

/// Mixtral-8x7B.
struct mixtral_8x7b {
  static constexpr moe_config config = detail::softmax_router(4096, 14336, 8, 2, norm_fn::sum);
};

/// Qwen1.5-MoE-A2.7B: a shared expert behind a sigmoid.
struct qwen1_5_moe_a2_7b {
  static constexpr moe_config config =
      detail::with(detail::softmax_router(2048, 1408, 60, 4, norm_fn::none, 5632), [](moe_config& c) { c.shared_gated = true; });
};

/// Qwen3-30B-A3B.
struct qwen3_30b {
  static constexpr moe_config config = detail::softmax_router(2048, 768, 128, 8, norm_fn::sum);
};

/// Qwen3-Next-80B-A3B.
struct qwen3_next_80b {
  static constexpr moe_config config =
      detail::with(detail::softmax_router(2048, 512, 512, 10, norm_fn::sum, 512), [](moe_config& c) { c.shared_gated = true; });
};

/// Qwen3.5-35B-A3B (the defaults of qwen3_5_moe).
struct qwen3_5_35b {
  static constexpr moe_config config =
      detail::with(detail::softmax_router(2048, 512, 256, 8, norm_fn::sum, 512), [](moe_config& c) { c.shared_gated = true; });
};

/// OLMoE-1B-7B; its intermediate_size is the class's default.
struct olmoe {
  static constexpr moe_config config = detail::softmax_router(2048, 2048, 64, 8, norm_fn::none);
};

/// Jamba.
struct jamba {
  static constexpr moe_config config = detail::softmax_router(4096, 14336, 16, 2, norm_fn::none);
};

/// Llama-4-Scout: ranked by logit, the weight multiplies the expert's input.
struct llama4_scout {
  static constexpr moe_config config{.hidden = 5120,
                                     .inter = 8192,
                                     .experts = 16,
                                     .top_k = 1,
                                     .score = score_fn::sigmoid,
                                     .rank = rank_fn::logit,
                                     .weight_at = weight_site::input,
                                     .shared_inter = 8192};
};

/// gpt-oss-120b: biases in the router and the experts, softmax over the selected.
struct gpt_oss_120b {
  static constexpr moe_config config{.hidden = 2880,
                                     .inter = 2880,
                                     .experts = 128,
                                     .top_k = 4,
                                     .logit_bias = true,
                                     .score = score_fn::softmax_of_selected,
                                     .rank = rank_fn::logit,
                                     .act = activation_fn::swiglu_oai,
                                     .act_limit = 7.0F,
                                     .expert_bias = true};
};

/// Phi-3.5-MoE.
struct phi35_moe {
  static constexpr moe_config config{
      .hidden = 4096, .inter = 6400, .experts = 16, .top_k = 2, .score = score_fn::sparsemixer, .rank = rank_fn::logit};
};

/// ERNIE-4.5-21B-A3B: a bias on probabilities, two shared experts as one of double width.
struct ernie45_21b {
  static constexpr moe_config config =
      detail::with(detail::softmax_router(2560, 1536, 64, 6, norm_fn::clamped_sum, 3072), [](moe_config& c) {
        c.bias = true;
        c.norm_eps = 1e-12F;
      });
};

/// LongCat-Flash: 256 of the 768 choices are the identity.
struct longcat_flash {
  static constexpr moe_config config{
      .hidden = 6144, .inter = 2048, .experts = 512, .top_k = 12, .zero_experts = 256, .bias = true, .route_scale = 6.0F};
};

/// A DeepSeek-V3 layer small enough for tests and first steps (the golden checkpoint tinyA).
struct tiny_a {
  static constexpr moe_config config = detail::grouped_sigmoid_router(detail::sigmoid_router(256, 128, 16, 4, 2.5F, 128), 4, 2);
};

/// tinyA with an inner width that is no multiple of the 128-wide scale blocks (the golden checkpoint tinyB_ragged).
struct tiny_b {
  static constexpr moe_config config = detail::with(tiny_a::config, [](moe_config& c) { c.inter = c.shared_inter = 96; });
};

/// tinyA without groups and with two shared experts (the golden checkpoint tinyC_liteish).
struct tiny_c {
  static constexpr moe_config config = detail::with(tiny_a::config, [](moe_config& c) {
    c.n_group = c.topk_group = 1;
    c.shared_inter = 256;
  });
};

}  // namespace moesaic::inline MOESAIC_ABI::models
