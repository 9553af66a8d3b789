// The routers that route, map and permute are held to: every pair of values of two settings that some valid router has occurs in one row.
// configurations_test.cpp proves that; the rows were found by a greedy search. The last three are DeepSeek-V3, V2-Lite and Qwen3-30B.
#pragma once

#include <moesaic/config/layer.hpp>

namespace conformance::inline MOESAIC_ABI {

enum norm { none, sum, sum_eps };

struct router {
  int experts, top_k, n_group, topk_group;
  moesaic::score_fn score;
  bool bias;
  norm normalise;
  moesaic::group_score_fn group_score;
};

inline constexpr auto softmax = moesaic::score_fn::softmax, sigmoid = moesaic::score_fn::sigmoid;
inline constexpr auto max = moesaic::group_score_fn::max, top2_sum = moesaic::group_score_fn::top2_sum;

inline constexpr router routers[] = {
    {8, 1, 8, 3, softmax, false, none, max},
    {8, 1, 8, 4, sigmoid, false, sum, max},
    {8, 2, 2, 1, sigmoid, true, sum, max},
    {8, 4, 4, 2, sigmoid, true, sum_eps, top2_sum},
    {8, 6, 1, 1, softmax, false, sum, max},
    {8, 8, 1, 1, sigmoid, true, sum, max},
    {16, 1, 1, 1, sigmoid, true, sum, top2_sum},
    {16, 2, 8, 3, sigmoid, true, sum_eps, max},
    {16, 4, 8, 4, softmax, true, none, top2_sum},
    {16, 6, 2, 1, softmax, false, none, max},
    {16, 8, 4, 2, softmax, false, none, max},
    {16, 16, 1, 1, sigmoid, true, sum_eps, top2_sum},
    {60, 1, 4, 2, sigmoid, true, none, top2_sum},
    {60, 2, 1, 1, softmax, false, sum, max},
    {60, 4, 2, 1, sigmoid, false, sum, top2_sum},
    {60, 6, 1, 1, softmax, true, sum_eps, max},
    {60, 8, 1, 1, sigmoid, false, none, max},
    {60, 16, 2, 1, softmax, true, sum_eps, top2_sum},
    {60, 22, 4, 2, sigmoid, true, sum, top2_sum},
    {64, 1, 8, 4, sigmoid, false, sum, top2_sum},
    {64, 2, 2, 1, softmax, true, sum_eps, max},
    {64, 4, 8, 3, softmax, false, sum, top2_sum},
    {64, 6, 1, 1, sigmoid, true, sum_eps, max},
    {64, 8, 2, 1, softmax, false, none, max},
    {64, 16, 8, 3, softmax, true, none, max},
    {64, 22, 4, 2, softmax, false, sum_eps, max},
    {128, 1, 2, 1, softmax, true, sum_eps, top2_sum},
    {128, 2, 4, 2, softmax, true, sum, top2_sum},
    {128, 4, 1, 1, sigmoid, true, none, top2_sum},
    {128, 6, 8, 4, softmax, false, sum, max},
    {128, 8, 8, 3, softmax, true, sum_eps, max},
    {128, 16, 8, 4, softmax, true, sum_eps, top2_sum},
    {128, 22, 1, 1, sigmoid, false, sum_eps, max},
    {256, 1, 4, 2, softmax, true, sum, max},
    {256, 2, 8, 4, sigmoid, true, none, top2_sum},
    {256, 4, 2, 1, softmax, false, sum, max},
    {256, 6, 2, 1, sigmoid, true, sum_eps, max},
    {256, 8, 1, 1, softmax, true, sum, max},
    {256, 16, 4, 2, softmax, false, sum_eps, top2_sum},
    {256, 22, 8, 3, sigmoid, false, sum_eps, max},
    {512, 1, 4, 2, softmax, false, sum, max},
    {512, 2, 1, 1, sigmoid, false, none, max},
    {512, 4, 1, 1, softmax, true, sum, top2_sum},
    {512, 6, 4, 2, softmax, true, none, top2_sum},
    {512, 8, 8, 4, softmax, false, sum_eps, top2_sum},
    {512, 16, 8, 3, sigmoid, false, sum, top2_sum},
    {512, 22, 2, 1, sigmoid, true, none, max},
    {896, 1, 8, 3, softmax, false, sum, top2_sum},
    {896, 2, 4, 2, sigmoid, true, sum_eps, top2_sum},
    {896, 4, 8, 3, sigmoid, true, none, top2_sum},
    {896, 6, 8, 3, sigmoid, false, none, top2_sum},
    {896, 8, 1, 1, sigmoid, true, sum, top2_sum},
    {896, 16, 2, 1, softmax, true, sum_eps, top2_sum},
    {896, 22, 8, 4, softmax, false, sum_eps, max},
    {256, 8, 8, 4, sigmoid, true, sum_eps, top2_sum},
    {64, 6, 1, 1, softmax, false, none, max},
    {128, 8, 1, 1, softmax, false, sum, max},
};
inline constexpr int router_count = sizeof(routers) / sizeof(router);
static_assert(router_count <= 60);

constexpr moesaic::moe_config config_of(router const& r) {
  return {.hidden = 8,
          .inter = 8,
          .experts = r.experts,
          .top_k = r.top_k,
          .score = r.score,
          .bias = r.bias,
          .n_group = r.n_group,
          .topk_group = r.topk_group,
          .group_score = r.group_score,
          .norm = r.normalise == none ? moesaic::norm_fn::none : moesaic::norm_fn::sum,
          .norm_eps = r.normalise == sum_eps ? 1e-20F : 0.0F,
          .route_scale = r.score == sigmoid ? 2.5F : 1.0F};
}

template <int I>
struct router_model {
  static constexpr moesaic::moe_config config = config_of(routers[I]);
};
template <int I>
using router_layer = moesaic::layer<router_model<I>>;

}  // namespace conformance::inline MOESAIC_ABI
