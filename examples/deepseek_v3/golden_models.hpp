// Small models with golden numbers in tests/fixtures: three of DeepSeek-V3's kind, and two that stretch what a config.json may say.
#pragma once

#include <moesaic/config/models.hpp>

#include "model_config.hpp"

namespace deepseek_v3::golden {

inline constexpr rope_config short_yarn{.theta = 10000.0, .factor = 4.0, .original_length = 64, .beta_fast = 32.0, .beta_slow = 1.0};

inline constexpr model_config tiny_a{.vocab_size = 512,
                                     .num_hidden_layers = 4,
                                     .first_k_dense_replace = 1,
                                     .moe_layer_freq = 1,
                                     .hidden_size = 256,
                                     .intermediate_size = 512,
                                     .num_attention_heads = 4,
                                     .q_lora_rank = 128,
                                     .kv_lora_rank = 96,
                                     .qk_nope_head_dim = 32,
                                     .qk_rope_head_dim = 32,
                                     .v_head_dim = 32,
                                     .num_nextn_predict_layers = 1,
                                     .tie_word_embeddings = false,
                                     .rms_norm_eps = 1e-6,
                                     .rope = short_yarn,
                                     .moe = moesaic::models::tiny_a::config,
                                     .weights = moesaic::weight_format::e4m3_128x128};

/// Ragged scale grids everywhere: 192 kv_a rows, 320 dense and 96 expert columns.
inline constexpr model_config tiny_b = [] {
  model_config c = tiny_a;
  c.kv_lora_rank = 160;
  c.intermediate_size = 320;
  c.moe = moesaic::models::tiny_b::config;
  return c;
}();

/// No q_lora, no groups, no YaRN, two shared experts.
inline constexpr model_config tiny_c = [] {
  model_config c = tiny_a;
  c.q_lora_rank = 0;
  c.rope = {};
  c.moe = moesaic::models::tiny_c::config;
  return c;
}();

/// DeepSeek-V2's router in BF16 weights: softmax, the best 3 of 8 groups by their best expert, weights neither biased nor normalised.
inline constexpr model_config extra_v2{
    .vocab_size = 192,
    .num_hidden_layers = 3,
    .first_k_dense_replace = 0,
    .moe_layer_freq = 1,
    .hidden_size = 192,
    .intermediate_size = 256,
    .num_attention_heads = 3,
    .q_lora_rank = 0,
    .kv_lora_rank = 64,
    .qk_nope_head_dim = 32,
    .qk_rope_head_dim = 16,
    .v_head_dim = 40,
    .num_nextn_predict_layers = 0,
    .tie_word_embeddings = false,
    .rms_norm_eps = 1e-5,
    .rope = {.theta = 10000.0, .factor = 40.0, .original_length = 128, .mscale = 0.707, .mscale_all_dim = 0.707},
    .moe = {.hidden = 192,
            .inter = 64,
            .experts = 32,
            .top_k = 6,
            .n_group = 8,
            .topk_group = 3,
            .group_score = moesaic::group_score_fn::max,
            .route_scale = 16.0F,
            .shared_inter = 128},
    .weights = moesaic::weight_format::bf16};

/// The same numbers stored as F32.
inline constexpr model_config extra_v2_f32 = [] {
  model_config c = extra_v2;
  c.weights = moesaic::weight_format::f32;
  return c;
}();

/// DeepSeek-V3's router with 8 groups, every second layer after the second an MoE layer, ragged widths, cos and sin with a factor of their
/// own (mscale differs from mscale_all_dim), the head tied to the embedding, an epsilon large enough that it shows where it is used.
inline constexpr model_config extra_v3{.vocab_size = 200,
                                       .num_hidden_layers = 5,
                                       .first_k_dense_replace = 2,
                                       .moe_layer_freq = 2,
                                       .hidden_size = 200,
                                       .intermediate_size = 328,
                                       .num_attention_heads = 5,
                                       .q_lora_rank = 72,
                                       .kv_lora_rank = 136,
                                       .qk_nope_head_dim = 24,
                                       .qk_rope_head_dim = 16,
                                       .v_head_dim = 48,
                                       .num_nextn_predict_layers = 0,
                                       .tie_word_embeddings = true,
                                       .rms_norm_eps = 1e-3,
                                       .rope = {.theta = 50000.0,
                                                .factor = 32.0,
                                                .original_length = 128,
                                                .beta_fast = 16.0,
                                                .beta_slow = 2.0,
                                                .mscale = 1.0,
                                                .mscale_all_dim = 0.5},
                                       .moe = {.hidden = 200,
                                               .inter = 136,
                                               .experts = 32,
                                               .top_k = 5,
                                               .score = moesaic::score_fn::sigmoid,
                                               .bias = true,
                                               .n_group = 8,
                                               .topk_group = 4,
                                               .group_score = moesaic::group_score_fn::top2_sum,
                                               .norm = moesaic::norm_fn::sum,
                                               .norm_eps = 1e-20F,
                                               .route_scale = 1.5F,
                                               .shared_inter = 136},
                                       .weights = moesaic::weight_format::e4m3_128x128};

struct golden_model {
  char const* name;  // of the writer's argument and of models/*.hpp
  model_config const& config;
  char const* model_type;
  int n_shared_experts;
  bool rope_parameters;  // transformers 5 spelling of the rope settings
};
inline constexpr golden_model all[] = {
    {"tiny_a", tiny_a, "deepseek_v3", 1, false},
    {"tiny_b", tiny_b, "deepseek_v3", 1, false},
    {"tiny_c", tiny_c, "deepseek_v3", 2, false},
    {"extra_v2", extra_v2, "deepseek_v2", 2, false},
    {"extra_v2_f32", extra_v2_f32, "deepseek_v2", 2, false},
    {"extra_v3", extra_v3, "deepseek_v3", 1, true},
};

}  // namespace deepseek_v3::golden
