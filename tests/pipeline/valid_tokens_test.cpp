// Batches that are padded to a fixed size: tokens from *valid_tokens on have no experts, and do not change those before them.
#include <gtest/gtest.h>

#include <moesaic/cpu.hpp>
#include <vector>

namespace {

using namespace moesaic;
using layer_type = layer<models::tiny_a, policies::f32_weights>;
constexpr moe_config c = layer_type::config;
constexpr std::int64_t T = 6;

struct padded_batch : testing::Test {
  cpu::on<cpu::serial_pool> ctx{cpu::serial_pool{}};
  std::vector<float> numbers = std::vector<float>(std::size_t{c.experts} * c.inter * c.hidden, 0.01F);
  std::vector<float> x = std::vector<float>(T * c.hidden), y = x, bias = std::vector<float>(c.experts, 0.0F);
  std::vector<std::max_align_t> packed, workspace;
  prepared_weights<decltype(ctx), layer_type> weights;

  static memory aligned(std::vector<std::max_align_t>& v, std::size_t bytes) {
    v.resize(bytes / sizeof(std::max_align_t) + 8);
    return {reinterpret_cast<void*>((reinterpret_cast<std::uintptr_t>(v.data()) + 63) / 64 * 64), bytes};
  }

  void SetUp() override {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(static_cast<int>(i * 37 % 101) - 50) * 0.01F;
    for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<float>(static_cast<int>(i * 61 % 127) - 63) * 0.002F;
    layer_weights<layer_type> w;
    w.router = {1, c.experts, c.hidden, {numbers.data() + 5}};
    w.bias = bias.data();
    w.gate = w.up = {c.experts, c.inter, c.hidden, {numbers.data(), c.inter * c.hidden}};
    w.down = {c.experts, c.hidden, c.inter, {numbers.data(), c.inter * c.hidden}};
    w.shared_gate = w.shared_up = {1, c.shared_inter, c.hidden, {numbers.data()}};
    w.shared_down = {1, c.hidden, c.shared_inter, {numbers.data()}};
    ASSERT_TRUE(prepare<layer_type>(ctx, w, aligned(packed, prepared_bytes<layer_type>(ctx)), weights));
  }

  std::vector<float> run(std::int64_t tokens, forward_extras<float> const& extras) {
    std::vector<float> out(static_cast<std::size_t>(tokens * c.hidden), -1.0F);
    status const s =
        forward<layer_type>(ctx, matrix_view<float>(x.data(), tokens, c.hidden), weights, matrix_view<float>(out.data(), tokens, c.hidden),
                            aligned(workspace, workspace_bytes<layer_type>(ctx, tokens)), extras);
    EXPECT_TRUE(s) << describe(s).c_str();
    return out;
  }
};

TEST_F(padded_batch, valid_tokens_have_the_bits_of_the_batch_without_padding) {
  for (std::int32_t valid = 0; valid <= T; ++valid) {
    std::vector<float> const padded = run(T, {.valid_tokens = &valid}), alone = run(valid, {});
    EXPECT_TRUE(std::equal(alone.begin(), alone.end(), padded.begin())) << valid;
  }
}

TEST_F(padded_batch, padding_gets_the_shared_expert_and_the_residual_alone) {
  std::int32_t const valid = 2;
  std::vector<std::int32_t> nobody(T * c.top_k, -1);
  std::vector<float> weightless(T * c.top_k, 0.0F);
  matrix_view<float const> const residual(x.data(), T, c.hidden);
  std::vector<float> const padded = run(T, {.residual = residual, .valid_tokens = &valid});
  std::vector<float> const bare =
      run(T, {.choice = {nobody.data(), weightless.data(), T, c.top_k}, .given = given_choice::ids_and_weights, .residual = residual});
  EXPECT_TRUE(std::equal(padded.begin() + valid * c.hidden, padded.end(), bare.begin() + valid * c.hidden));
}

TEST_F(padded_batch, padding_gets_nothing_of_zero_experts) {
  std::vector<std::int32_t> ids = {0, 2, 2, 3}, offsets(3), row_to_slot(4), slot_to_row(4);  // experts 0 and 1, zero experts 2 and 3
  std::vector<float> w(4, 0.5F), rows(4 * 4, 1.0F), in(2 * 4, 8.0F), out(2 * 4, -1.0F);
  dispatch_map const map{offsets.data(), row_to_slot.data(), slot_to_row.data(), 2, 2, 2};
  topk_choice const choice{ids.data(), w.data(), 2, 2};
  std::int32_t const valid = 1;
  ASSERT_TRUE(make_dispatch_map(ctx, choice, map, &valid));
  ASSERT_TRUE(unpermute(ctx, matrix_view<float const>(rows.data(), 4, 4), map, choice, matrix_view<float>(out.data(), 2, 4),
                        {.identity = {in.data(), 2, 4}, .valid_tokens = &valid, .zero_experts = 2}));
  EXPECT_EQ(out, (std::vector<float>{4.5F, 4.5F, 4.5F, 4.5F, 0.0F, 0.0F, 0.0F, 0.0F}));
}

TEST_F(padded_batch, the_map_marks_padding_and_takes_a_count_above_the_batch_as_all_of_it) {
  std::vector<std::int32_t> ids = {3, 1, 1, 0, 2, 3}, offsets(5), row_to_slot(6), slot_to_row(6);
  std::vector<float> w(6);
  dispatch_map const map{offsets.data(), row_to_slot.data(), slot_to_row.data(), 3, 2, 4};
  for (std::int32_t const valid : {2, 100}) {
    ASSERT_TRUE(make_dispatch_map(ctx, {ids.data(), w.data(), 3, 2}, map, &valid));
    EXPECT_EQ(offsets, valid == 2 ? (std::vector<std::int32_t>{0, 1, 3, 3, 4}) : (std::vector<std::int32_t>{0, 1, 3, 4, 6}));
    EXPECT_EQ(slot_to_row, valid == 2 ? (std::vector<std::int32_t>{3, 1, 2, 0, -1, -1}) : (std::vector<std::int32_t>{4, 1, 2, 0, 3, 5}));
  }
}

}  // namespace
