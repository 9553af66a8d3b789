// Each rule rejects exactly what it names, and every model that is shipped passes all of them.
#include <gtest/gtest.h>

#include <moesaic/config/layer.hpp>
#include <moesaic/config/models.hpp>

namespace {

using namespace moesaic;

static_assert(valid_model<models::deepseek_v3> && valid_model<models::deepseek_v2_lite> && valid_model<models::mixtral_8x7b> &&
              valid_model<models::qwen3_30b> && valid_model<models::tiny_a> && valid_model<models::tiny_b> && valid_model<models::tiny_c>);

// The example of docs/models.md.
// [my_model]
struct my_model {
  static constexpr moesaic::moe_config config{.hidden = 2048, .inter = 768, .experts = 128, .top_k = 8, .norm = moesaic::norm_fn::sum};
};
using my_layer = moesaic::layer<my_model>;
// [my_model]
static_assert(valid_model<my_model> && my_layer::config.top_k == 8);

struct no_config {};
struct mutable_config {
  [[maybe_unused]] static inline moe_config config{.hidden = 8, .inter = 8, .experts = 1, .top_k = 1};
};
static_assert(!has_moe_config<mutable_config>);

struct hidden_12 {
  static constexpr moe_config config{.hidden = 12, .inter = 8, .experts = 4, .top_k = 1};
};
static_assert(!hidden_is_a_positive_multiple_of_8<hidden_12> && !valid_model<hidden_12>);

struct inter_0 {
  static constexpr moe_config config{.hidden = 8, .inter = 0, .experts = 4, .top_k = 1};
};
static_assert(!inter_is_a_positive_multiple_of_8<inter_0> && !valid_model<inter_0>);

struct shared_4 {
  static constexpr moe_config config{.hidden = 8, .inter = 8, .experts = 4, .top_k = 1, .shared_inter = 4};
};
static_assert(!shared_inter_is_zero_or_a_multiple_of_8<shared_4> && !valid_model<shared_4>);

struct three_groups_of_16 {
  static constexpr moe_config config{.hidden = 8, .inter = 8, .experts = 16, .top_k = 1, .n_group = 3, .topk_group = 1};
};
static_assert(!groups_divide_the_experts<three_groups_of_16> && !valid_model<three_groups_of_16>);

struct keeps_more_groups_than_there_are {
  static constexpr moe_config config{.hidden = 8, .inter = 8, .experts = 16, .top_k = 1, .n_group = 4, .topk_group = 5};
};
static_assert(!kept_groups_are_at_most_all_groups<keeps_more_groups_than_there_are> && !valid_model<keeps_more_groups_than_there_are>);

struct groups_of_one {
  static constexpr moe_config config{.hidden = 8, .inter = 8, .experts = 4, .top_k = 1, .n_group = 4, .topk_group = 2};
};
static_assert(!top2_sum_needs_two_experts_per_group<groups_of_one> && !valid_model<groups_of_one>);

struct k_above_kept {
  static constexpr moe_config config{.hidden = 8, .inter = 8, .experts = 16, .top_k = 9, .n_group = 4, .topk_group = 2};
};
static_assert(!top_k_fits_into_the_kept_groups<k_above_kept> && !valid_model<k_above_kept>);

struct k_above_e {
  static constexpr moe_config config{.hidden = 8, .inter = 8, .experts = 4, .top_k = 5};
};
static_assert(!top_k_fits_into_the_kept_groups<k_above_e>);

struct eps_below_zero {
  static constexpr moe_config config{.hidden = 8, .inter = 8, .experts = 4, .top_k = 1, .norm = norm_fn::sum, .norm_eps = -1.0F};
};
static_assert(!norm_eps_is_not_negative<eps_below_zero> && !valid_model<eps_below_zero>);

struct e4m3_router {
  static constexpr layer_policy policy{.router = weight_format::e4m3_128x128};
};
static_assert(!router_weights_are_f32_or_bf16<e4m3_router>);

TEST(models, deepseek_v3_has_the_published_numbers) {
  constexpr moe_config c = models::deepseek_v3::config;
  EXPECT_EQ(c.hidden, 7168);
  EXPECT_EQ(c.inter, 2048);
  EXPECT_EQ(c.experts, 256);
  EXPECT_EQ(c.top_k, 8);
  EXPECT_EQ(c.n_group, 8);
  EXPECT_EQ(c.topk_group, 4);
  EXPECT_EQ(c.route_scale, 2.5F);
  // forward.md: 44,040,192 weights an expert, 11,507,286,272 in the MoE layer less attention and norms.
  EXPECT_EQ(3LL * c.hidden * c.inter, 44040192);
}

}  // namespace
