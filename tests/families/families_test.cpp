// One test a family: on the reference and the cpu backend, and the cpu's fused step up against its parts.
#include "check.hpp"

#include <moesaic/cpu/on.hpp>

namespace families {
namespace {

using cpu_context = cpu::on<cpu::serial_pool>;

/// The cpu backend without its fused step up.
struct unfused {
  cpu_context ctx{cpu::serial_pool{}};

  template <weight_format F>
  using prepared_matrices = cpu_context::prepared_matrices<F>;
  template <class F>
  status launch(std::int64_t n, F const& f) const {
    return ctx.launch(n, f);
  }
  template <weight_format F>
  std::size_t prepared_bytes(weight_matrices<F> const& w) const {
    return ctx.prepared_bytes(w);
  }
  template <weight_format F>
  status prepare(weight_matrices<F> const& from, memory m, prepared_matrices<F>& to) const {
    return ctx.prepare(from, m, to);
  }
  template <class Rows, weight_format F>
  status grouped_gemm(gemm_input<Rows> const& a, prepared_matrices<F> const& w, std::int32_t const* offsets, matrix_view<float> out) const {
    return ctx.grouped_gemm(a, w, offsets, out);
  }
};

struct f32_w8a8 {  // the activation's quantised path with these weights
  static constexpr layer_policy policy{
      .weights = weight_format::f32, .router = weight_format::f32, .activations = activation_format::e4m3_1x128};
};

template <class F, class Policy>
void check_fusion() {
  using L = layer<F, Policy>;
  small_layer<F, Policy> const l;
  oracle::random r{78};
  floats x = random_floats(r, tokens * F::config.hidden, 1.0);
  std::vector<std::int32_t> ids(static_cast<std::size_t>(tokens * F::config.top_k));
  fill_given_ids<F>(ids);
  floats const parts = forward_of<L>(unfused{}, l.weights(), x, ids);
  floats const fused = forward_of<L>(cpu_context{cpu::serial_pool{}}, l.weights(), x, ids);
  EXPECT_EQ(std::memcmp(parts.data(), fused.data(), parts.size() * sizeof(float)), 0);
}

#define MOESAIC_TEST(family)                              \
  TEST(families, family) {                                \
    check_route<family>(reference::on{});                 \
    check_route<family>(cpu_context{cpu::serial_pool{}}); \
    check_layer<family>(reference::on{});                 \
    check_layer<family>(cpu_context{cpu::serial_pool{}}); \
  }
MOESAIC_FOR_EACH_FAMILY(MOESAIC_TEST)

TEST(families, a_fused_step_up_gives_the_bits_of_its_parts) {
  check_fusion<deepseek_v4, policies::f32_weights>();
  check_fusion<gpt_oss, policies::f32_weights>();
  check_fusion<llama4, policies::f32_weights>();
  check_fusion<nemotron3, policies::f32_weights>();
  check_fusion<gpt_oss, f32_w8a8>();
  check_fusion<llama4, f32_w8a8>();
  check_fusion<nemotron3, f32_w8a8>();
}

struct clamped_sum : family {
  static constexpr moe_config config = with(small(models::ernie45_21b::config), [](moe_config& c) { c.norm_eps = 0.5F; });
};
TEST(families, a_clamped_sum_divides_by_norm_eps_at_least) {
  floats z(experts, 0.0F), bias(experts, 0.0F), weights(4);  // p = 1/12 each: their sum is 1/3
  std::vector<std::int32_t> ids(4);
  ASSERT_TRUE(
      route_from_logits<layer<clamped_sum>>(reference::on{}, {z.data(), 1, experts}, bias.data(), {ids.data(), weights.data(), 1, 4}));
  for (float const w : weights) EXPECT_FLOAT_EQ(w, 1.0F / 12 / 0.5F);
}

TEST(families, every_shipped_type_is_valid) {
  static_assert(valid_model<models::deepseek_v3>);
  static_assert(valid_model<models::deepseek_v2>);
  static_assert(valid_model<models::deepseek_v2_lite>);
  static_assert(valid_model<models::deepseek_v4_flash>);
  static_assert(valid_model<models::deepseek_v4_flash_hash>);
  static_assert(valid_model<models::deepseek_v4_pro>);
  static_assert(valid_model<models::kimi_k2>);
  static_assert(valid_model<models::kimi_linear>);
  static_assert(valid_model<models::moonlight>);
  static_assert(valid_model<models::glm5>);
  static_assert(valid_model<models::glm4_5_air>);
  static_assert(valid_model<models::glm4_moe_lite>);
  static_assert(valid_model<models::mimo_v2_flash>);
  static_assert(valid_model<models::bailing_hybrid>);
  static_assert(valid_model<models::solar_open>);
  static_assert(valid_model<models::exaone_moe>);
  static_assert(valid_model<models::hy3>);
  static_assert(valid_model<models::lfm2_8b>);
  static_assert(valid_model<models::minimax_m2>);
  static_assert(valid_model<models::minimax_m3>);
  static_assert(valid_model<models::step3_7_flash>);
  static_assert(valid_model<models::step3_7_flash_clamped>);
  static_assert(valid_model<models::mixtral_8x7b>);
  static_assert(valid_model<models::qwen1_5_moe_a2_7b>);
  static_assert(valid_model<models::qwen3_30b>);
  static_assert(valid_model<models::qwen3_next_80b>);
  static_assert(valid_model<models::qwen3_5_35b>);
  static_assert(valid_model<models::olmoe>);
  static_assert(valid_model<models::jamba>);
  static_assert(valid_model<models::llama4_scout>);
  static_assert(valid_model<models::gpt_oss_120b>);
  static_assert(valid_model<models::phi35_moe>);
  static_assert(valid_model<models::ernie45_21b>);
  static_assert(valid_model<models::longcat_flash>);
  static_assert(valid_model<models::tiny_a>);
  static_assert(valid_model<models::tiny_b>);
  static_assert(valid_model<models::tiny_c>);
}

}  // namespace
}  // namespace families
