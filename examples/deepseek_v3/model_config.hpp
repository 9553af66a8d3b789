// The compile-time description of one model of the DeepSeek-V2/V3 family: everything of config.json that the forward pass depends on.
#pragma once

#include <moesaic/config/layer.hpp>

namespace deepseek_v3 {

/// Position encoding. factor 0: plain RoPE; otherwise YaRN.
struct rope_config {
  double theta = 10000.0;
  double factor = 0.0;
  int original_length = 4096;
  double beta_fast = 32.0, beta_slow = 1.0;
  double mscale = 1.0, mscale_all_dim = 1.0;
};

/// Names follow config.json where it has one.
struct model_config {
  int vocab_size, num_hidden_layers, first_k_dense_replace, moe_layer_freq;
  int hidden_size, intermediate_size;
  int num_attention_heads, q_lora_rank /* 0: none */, kv_lora_rank, qk_nope_head_dim, qk_rope_head_dim, v_head_dim;
  int num_nextn_predict_layers;
  bool tie_word_embeddings;
  double rms_norm_eps;
  rope_config rope;
  moesaic::moe_config moe;         // the MoE layers; unused where a model has none
  moesaic::weight_format weights;  // of all matrices that are quantised in the checkpoint: e4m3_128x128, bf16 or f32

  constexpr bool is_moe_layer(int l) const { return l >= first_k_dense_replace && l % moe_layer_freq == 0; }
};

}  // namespace deepseek_v3
