// Published models as types. Sources: the models' own config.json as quoted by transformers' configuration classes.
#pragma once

#include <moesaic/config/moe_config.hpp>

namespace moesaic::inline MOESAIC_ABI::models {

/// DeepSeek-V3, R1, V3.1, V3.2 (671B): sigmoid scores, bias for the selection, 4 of 8 groups by the sum of their two best.
struct deepseek_v3 {
  static constexpr moe_config config{.hidden = 7168,
                                     .inter = 2048,
                                     .experts = 256,
                                     .top_k = 8,
                                     .score = score_fn::sigmoid,
                                     .bias = true,
                                     .n_group = 8,
                                     .topk_group = 4,
                                     .group_score = group_score_fn::top2_sum,
                                     .norm = norm_fn::sum,
                                     .norm_eps = 1e-20F,
                                     .route_scale = 2.5F,
                                     .shared_inter = 2048};
};

/// DeepSeek-V2-Lite (16B): plain softmax top-6, weights not normalised, two shared experts as one of double width.
struct deepseek_v2_lite {
  static constexpr moe_config config{.hidden = 2048, .inter = 1408, .experts = 64, .top_k = 6, .shared_inter = 2816};
};

/// Mixtral-8x7B: softmax, the two selected weights divided by their sum.
struct mixtral_8x7b {
  static constexpr moe_config config{.hidden = 4096, .inter = 14336, .experts = 8, .top_k = 2, .norm = norm_fn::sum};
};

/// Qwen3-30B-A3B: softmax over 128 experts, the eight selected weights divided by their sum.
struct qwen3_30b {
  static constexpr moe_config config{.hidden = 2048, .inter = 768, .experts = 128, .top_k = 8, .norm = norm_fn::sum};
};

/// A DeepSeek-V3 layer small enough for tests and first steps (the golden checkpoint tinyA).
struct tiny_a {
  static constexpr moe_config config{.hidden = 256,
                                     .inter = 128,
                                     .experts = 16,
                                     .top_k = 4,
                                     .score = score_fn::sigmoid,
                                     .bias = true,
                                     .n_group = 4,
                                     .topk_group = 2,
                                     .group_score = group_score_fn::top2_sum,
                                     .norm = norm_fn::sum,
                                     .norm_eps = 1e-20F,
                                     .route_scale = 2.5F,
                                     .shared_inter = 128};
};

/// tinyA with an inner width that is no multiple of the 128-wide scale blocks (the golden checkpoint tinyB_ragged).
struct tiny_b {
  static constexpr moe_config config = [] {
    moe_config c = tiny_a::config;
    c.inter = c.shared_inter = 96;
    return c;
  }();
};

/// tinyA without groups and with two shared experts (the golden checkpoint tinyC_liteish).
struct tiny_c {
  static constexpr moe_config config = [] {
    moe_config c = tiny_a::config;
    c.n_group = c.topk_group = 1;
    c.shared_inter = 256;
    return c;
  }();
};

}  // namespace moesaic::inline MOESAIC_ABI::models
