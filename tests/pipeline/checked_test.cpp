// The checked mode finds each kind of wrong data, says which entry it is, and takes the first of several.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <moesaic/pipeline/checked.hpp>
#include <string>
#include <vector>

#include "contexts.hpp"

namespace {

using namespace moesaic;

constexpr float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();

std::string text(status const& s) { return describe(s).c_str(); }

struct alignas(64) scratch_memory {
  std::byte bytes[1 << 16];
  memory all() { return {bytes, sizeof bytes}; }
};

/// What search(context, scratch, finding*) finds, by all backends the same.
template <class Search>
std::string found(Search const& search) {
  std::string line;
  contexts::for_each([&](auto const& ctx) {
    scratch_memory scratch;
    finding f{};
    EXPECT_EQ(text(search(ctx, scratch.all(), &f)), "ok");
    contexts::finish();
    std::string const now = describe(f).c_str();
    EXPECT_TRUE(line.empty() || line == now) << now;
    line = now;
  });
  return line;
}

struct choice_of_five_tokens {
  std::vector<std::int32_t> ids;
  std::vector<float> weights = std::vector<float>(15, 0.25F);
  choice_of_five_tokens() {
    for (int t = 0; t < 5; ++t) ids.insert(ids.end(), {t, -1, t + 100});
  }
  std::string found() {
    return ::found([&](auto const& ctx, memory scratch, finding* f) {
      return find_wrong(ctx, topk_choice{ids.data(), weights.data(), 5, 3}, 256, scratch, f);
    });
  }
};

TEST(find_wrong, says_that_a_choice_is_fine_with_slots_of_no_expert_whatever_they_weigh) {
  choice_of_five_tokens c;
  c.weights[4] = nan;  // of an id −1
  EXPECT_EQ(c.found(), "nothing is wrong");
}

TEST(find_wrong, names_an_id_that_does_not_exist) {
  choice_of_five_tokens c;
  c.ids[3 * 3 + 2] = 300;
  EXPECT_EQ(c.found(), "choice.ids[3, 2] is 300, expected -1 to 255");
  c.ids[3 * 3 + 1] = 256;
  EXPECT_EQ(c.found(), "choice.ids[3, 1] is 256, expected -1 to 255");
  c.ids[3 * 3 + 0] = -2;
  EXPECT_EQ(c.found(), "choice.ids[3, 0] is -2, expected -1 to 255");
  c.ids[0] = std::numeric_limits<std::int32_t>::min();
  EXPECT_EQ(c.found(), "choice.ids[0, 0] is -2147483648, expected -1 to 255");
}

TEST(find_wrong, names_an_expert_that_a_token_chose_twice) {
  choice_of_five_tokens c;
  c.ids[4 * 3 + 2] = 4;
  EXPECT_EQ(c.found(), "choice.ids[4, 2] is 4, and so is choice.ids[4, 0]");
  c.ids[2 * 3 + 1] = c.ids[2 * 3 + 2] = 2;
  EXPECT_EQ(c.found(), "choice.ids[2, 1] is 2, and so is choice.ids[2, 0]");
}

TEST(find_wrong, names_a_choice_weight_that_is_no_number) {
  choice_of_five_tokens c;
  c.weights[3 * 3 + 2] = -inf;
  EXPECT_EQ(c.found(), "choice.weights[3, 2] is -infinity");
  c.weights[3 * 3 + 0] = -nan;
  EXPECT_EQ(c.found(), "choice.weights[3, 0] is NaN");
  c.ids[14] = 999;  // ids come first
  EXPECT_EQ(c.found(), "choice.ids[4, 2] is 999, expected -1 to 255");
}

template <class T>
void expect_rows_named(T one, T not_a_number, T infinite) {
  std::vector<T> values(4 * 40, one);
  auto lines = [&](char const* name) {
    return found([&](auto const& ctx, memory scratch, finding* f) {
      return find_wrong(ctx, matrix_view<T const>(values.data(), 4, 37, 40), scratch, f, name);
    });
  };
  values[37] = not_a_number;  // between rows: nobody's
  EXPECT_EQ(lines("x"), "nothing is wrong");
  values[3 * 40 + 1] = infinite;
  EXPECT_EQ(lines("x"), "x[3, 1] is infinity");
  values[1 * 40 + 36] = not_a_number;
  EXPECT_EQ(lines("logits"), "logits[1, 36] is NaN");
}

TEST(find_wrong, names_a_value_that_is_no_number) {
  expect_rows_named<float>(3e38F, nan, inf);
  expect_rows_named<bf16>({0x3F80}, {0x7F81}, {0x7F80});
  expect_rows_named<fp16>({0x7BFF}, {0xFE00}, {0x7C00});
}

TEST(find_wrong, names_wrong_codes_and_scales_of_quantised_rows) {
  std::vector<std::uint8_t> codes(6 * 200, 0x7E), e8m0(8 * 2, 1);
  std::vector<float> scales(8 * 2, 1.0F);
  auto line = [&](auto* s) {
    return found([&](auto const& ctx, memory scratch, finding* f) {
      return find_wrong(ctx, quantized_rows(codes.data(), s, 6, 200), scratch, f, "hidden");
    });
  };
  scales[7] = nan, e8m0[7] = 255;  // behind the last row
  EXPECT_EQ(line(scales.data()), "nothing is wrong");
  EXPECT_EQ(line(e8m0.data()), "nothing is wrong");
  scales[8 + 5] = inf, e8m0[8 + 5] = 255;
  EXPECT_EQ(line(scales.data()), "hidden.scales[1, 5] is infinity");
  EXPECT_EQ(line(e8m0.data()), "hidden.scales[1, 5] is NaN");
  codes[5 * 200 + 199] = 0xFF;
  EXPECT_EQ(line(scales.data()), "hidden.codes[5, 199] is the code 255, a NaN");
}

// Two experts of [150, 300] with grids [2, 3].
template <weight_format F>
struct two_experts {
  using code = weight_code_t<F>;
  std::vector<code> codes[2];
  std::vector<float> scales[2];
  code const* code_table[2];
  float const* scale_table[2];

  explicit two_experts(code one) {
    for (int e = 0; e < 2; ++e) {
      codes[e].assign(150 * 300, one), scales[e].assign(6, 1.0F);
      code_table[e] = codes[e].data(), scale_table[e] = scales[e].data();
    }
  }
  weight_matrices<F> view() const {
    weight_matrices<F> w{2, 150, 300, {}, {}};
    w.codes.table = code_table;
    if (F == weight_format::e4m3_128x128) w.scales.table = scale_table;
    return w;
  }
  std::string found() const {
    return ::found([&](auto const& ctx, memory scratch, finding* f) { return find_wrong(ctx, view(), scratch, f, "weights.gate"); });
  }
};

TEST(find_wrong, names_nan_codes_and_scales_of_weights) {
  two_experts<weight_format::e4m3_128x128> w(0x7E);
  EXPECT_EQ(w.found(), "nothing is wrong");
  w.scales[1][5] = -inf;
  EXPECT_EQ(w.found(), "weights.gate.scales[1][1, 2] is -infinity");
  w.scales[0][3] = nan;
  EXPECT_EQ(w.found(), "weights.gate.scales[0][1, 0] is NaN");
  w.codes[1][17 * 300 + 299] = 0x7F;
  EXPECT_EQ(w.found(), "weights.gate[1][17, 299] is the code 127, a NaN");
  w.codes[0][149 * 300] = 0xFF;
  EXPECT_EQ(w.found(), "weights.gate[0][149, 0] is the code 255, a NaN");
}

TEST(find_wrong, names_bf16_and_fp32_weights_that_are_no_numbers) {
  two_experts<weight_format::bf16> narrow({0x3F80});
  EXPECT_EQ(narrow.found(), "nothing is wrong");
  narrow.codes[1][0] = {0xFF80};
  EXPECT_EQ(narrow.found(), "weights.gate[1][0, 0] is -infinity");
  two_experts<weight_format::f32> wide(1.0F);
  wide.codes[0][2 * 300 + 7] = nan;
  EXPECT_EQ(wide.found(), "weights.gate[0][2, 7] is NaN");
}

TEST(find_wrong, looks_at_all_weights_of_a_layer) {
  using layer_type = layer<models::tiny_a>;
  constexpr moe_config c = layer_type::config;
  std::vector<std::uint8_t> codes[6];
  for (auto& v : codes) v.assign(c.experts * c.hidden * c.inter, 0x38);
  std::vector<float> scales(c.experts * 2, 1.0F), bias(c.experts, 1.0F);
  std::vector<bf16> router(c.experts * c.hidden, bf16{0x3F80});
  layer_weights<layer_type> w;
  constexpr std::int64_t size = c.hidden * c.inter;
  w.router = {1, c.experts, c.hidden, {router.data()}, {}};
  w.bias = bias.data();
  w.gate = {c.experts, c.inter, c.hidden, {codes[0].data(), size}, {scales.data(), 2}};
  w.up = {c.experts, c.inter, c.hidden, {codes[1].data(), size}, {scales.data(), 2}};
  w.down = {c.experts, c.hidden, c.inter, {codes[2].data(), size}, {scales.data(), 2}};
  w.shared_gate = {1, c.shared_inter, c.hidden, {codes[3].data()}, {scales.data()}};
  w.shared_up = {1, c.shared_inter, c.hidden, {codes[4].data()}, {scales.data()}};
  w.shared_down = {1, c.hidden, c.shared_inter, {codes[5].data()}, {scales.data()}};
  auto line = [&] {
    return found([&](auto const& ctx, memory scratch, finding* f) {
      scratch.bytes = find_wrong_bytes<layer_type>();
      return find_wrong(ctx, w, scratch, f);
    });
  };
  EXPECT_EQ(line(), "nothing is wrong");
  bias.at(11) = nan;
  EXPECT_EQ(line(), "weights.bias[0, 11] is NaN");
  codes[5].at(c.shared_inter + 3) = 0x7F;
  EXPECT_EQ(line(), "weights.shared_down[0][1, 3] is the code 127, a NaN");
  codes[4].at(4) = 0x7F;
  EXPECT_EQ(line(), "weights.shared_up[0][0, 4] is the code 127, a NaN");
  codes[3].at(5) = 0x7F;
  EXPECT_EQ(line(), "weights.shared_gate[0][0, 5] is the code 127, a NaN");
  codes[2].at(15 * size + 9 * c.inter + 1) = 0x7F;
  EXPECT_EQ(line(), "weights.down[15][9, 1] is the code 127, a NaN");
  codes[1].at(7 * size + 2) = 0xFF;
  EXPECT_EQ(line(), "weights.up[7][0, 2] is the code 255, a NaN");
  codes[0].at(3 * size + c.hidden) = 0xFF;
  EXPECT_EQ(line(), "weights.gate[3][1, 0] is the code 255, a NaN");
  router.at(2 * c.hidden + 1) = {0x7F80};
  EXPECT_EQ(line(), "weights.router[0][2, 1] is infinity");
}

struct biased {
  static constexpr moe_config config = [] {
    moe_config c = models::gpt_oss_120b::config;
    c.hidden = 16, c.inter = 8, c.experts = 4;
    c.shared_inter = 8, c.shared_gated = true;
    return c;
  }();
};

TEST(find_wrong, looks_at_biases_and_at_the_shared_experts_gate) {
  using layer_type = layer<biased, policies::f32_weights>;
  constexpr moe_config c = biased::config;
  std::vector<float> weights(c.experts * c.hidden * c.inter, 1.0F), token_gate(c.hidden, 1.0F), logit_bias(c.experts, 0.0F);
  std::vector<float> gate_bias(c.experts * c.inter, 0.0F), up_bias = gate_bias, down_bias(c.experts * c.hidden, 0.0F);
  layer_weights<layer_type> w;
  w.router = {1, c.experts, c.hidden, {weights.data()}};
  w.logit_bias = logit_bias.data();
  w.gate = w.up = {c.experts, c.inter, c.hidden, {weights.data(), c.inter * c.hidden}};
  w.down = {c.experts, c.hidden, c.inter, {weights.data(), c.inter * c.hidden}};
  w.gate_bias = {gate_bias.data(), c.inter};
  w.up_bias = {up_bias.data(), c.inter};
  w.down_bias = {down_bias.data(), c.hidden};
  w.shared_gate = w.shared_up = {1, c.shared_inter, c.hidden, {weights.data()}};
  w.shared_down = {1, c.hidden, c.shared_inter, {weights.data()}};
  w.shared_token_gate = {1, 1, c.hidden, {token_gate.data()}};
  auto line = [&] {
    return found([&](auto const& ctx, memory scratch, finding* f) {
      scratch.bytes = find_wrong_bytes<layer_type>();
      return find_wrong(ctx, w, scratch, f);
    });
  };
  EXPECT_EQ(line(), "nothing is wrong");
  down_bias.at(3 * c.hidden + 5) = nan;
  EXPECT_EQ(line(), "weights.down_bias[3, 5] is NaN");
  up_bias.at(2 * c.inter + 1) = nan;
  EXPECT_EQ(line(), "weights.up_bias[2, 1] is NaN");
  gate_bias.at(c.inter) = nan;
  EXPECT_EQ(line(), "weights.gate_bias[1, 0] is NaN");
  logit_bias.at(2) = nan;
  EXPECT_EQ(line(), "weights.logit_bias[0, 2] is NaN");
  token_gate.at(7) = nan;
  EXPECT_EQ(line(), "weights.shared_token_gate[0][0, 7] is NaN");
}

TEST(find_wrong, keeps_the_first_finding_of_several_calls) {
  std::vector<float> good(8, 1.0F), bad(8, nan);
  EXPECT_EQ(found([&](auto const& ctx, memory scratch, finding* f) {
              if (status const s = find_wrong(ctx, matrix_view(good.data(), 2, 4), scratch, f, "x"); !s) return s;
              if (status const s = find_wrong(ctx, matrix_view(bad.data() + 3, 1, 5), scratch, f, "logits"); !s) return s;
              return find_wrong(ctx, matrix_view(bad.data(), 2, 4), scratch, f, "y");
            }),
            "logits[0, 0] is NaN");
}

TEST(find_wrong, has_nothing_to_say_of_nothing) {
  EXPECT_EQ(found([&](auto const& ctx, memory scratch, finding* f) {
              return check::first_error(find_wrong(ctx, matrix_view<float const>(nullptr, 0, 7), scratch, f),
                                        find_wrong(ctx, topk_choice{nullptr, nullptr, 0, 4}, 8, scratch, f),
                                        find_wrong(ctx, weight_matrices<weight_format::bf16>{}, scratch, f));
            }),
            "nothing is wrong");
}

TEST(find_wrong, names_its_own_wrong_arguments) {
  reference::on const ctx;
  scratch_memory scratch;
  finding f{};
  std::vector<float> x(40, nan);
  matrix_view<float> const rows(x.data(), 20, 2);
  EXPECT_EQ(text(find_wrong(ctx, rows, {scratch.bytes, 64}, &f)), "scratch holds 64 bytes, needed are 128");
  EXPECT_EQ(text(find_wrong(ctx, rows, {scratch.bytes + 4, 128}, &f)), "scratch.data is 4 bytes past a multiple of 64");
  EXPECT_EQ(text(find_wrong(ctx, rows, scratch.all(), nullptr)), "out is null");
  EXPECT_EQ(text(find_wrong(ctx, matrix_view(x.data(), 20, 2, 1), scratch.all(), &f, "logits")), "logits.stride is 1, expected 2");
  EXPECT_EQ(text(find_wrong(ctx, matrix_view(x.data(), -1, 2), scratch.all(), &f)), "x.rows is -1, expected 0 to 2147483647");
  EXPECT_EQ(text(find_wrong(ctx, topk_choice{nullptr, x.data(), 4, 4}, 8, scratch.all(), &f)), "choice.ids is null");
  EXPECT_EQ(text(find_wrong(ctx, topk_choice{nullptr, x.data(), 4, -1}, 8, scratch.all(), &f)),
            "choice.top_k is -1, expected 0 to 2147483647");
  EXPECT_EQ(text(find_wrong(ctx, weight_matrices<weight_format::bf16>{2, 4, 4, {}, {}}, scratch.all(), &f)), "weights.codes is null");
  EXPECT_EQ(text(find_wrong(ctx, quantized_rows<float>(nullptr, x.data(), 4, 4), scratch.all(), &f)), "x.codes is null");
  EXPECT_EQ(f.what, wrong::nothing);
}

}  // namespace
