// DeepSeek-V3, R1, V3.1 and V3.2 without its indexer: 671B parameters, FP8.
#pragma once

#include <moesaic/config/models.hpp>

#include "../model_config.hpp"

namespace deepseek_v3 {

struct model {
  static constexpr model_config config{.vocab_size = 129280,
                                       .num_hidden_layers = 61,
                                       .first_k_dense_replace = 3,
                                       .moe_layer_freq = 1,
                                       .hidden_size = 7168,
                                       .intermediate_size = 18432,
                                       .num_attention_heads = 128,
                                       .q_lora_rank = 1536,
                                       .kv_lora_rank = 512,
                                       .qk_nope_head_dim = 128,
                                       .qk_rope_head_dim = 64,
                                       .v_head_dim = 128,
                                       .num_nextn_predict_layers = 1,
                                       .tie_word_embeddings = false,
                                       .rms_norm_eps = 1e-6,
                                       .rope = {.theta = 10000.0, .factor = 40.0, .original_length = 4096},
                                       .moe = moesaic::models::deepseek_v3::config,
                                       .weights = moesaic::weight_format::e4m3_128x128};
};

}  // namespace deepseek_v3
