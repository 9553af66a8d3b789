// docs/pipeline.md's code, compiled and called: stages one by one, and with a router of one's own, give the bits of forward.
#include <moesaic/cpu.hpp>

#include "../cpu/tiny_layer.hpp"

namespace {

using namespace moesaic;
using tiny::c, tiny::layer, tiny::tokens;
constexpr std::int64_t slots = tokens * c.top_k;

struct engine_memory {
  std::vector<std::int32_t> ids = std::vector<std::int32_t>(slots), offsets = std::vector<std::int32_t>(c.experts + 1), row_to_slot = ids,
                            slot_to_row = ids;
  std::vector<float> chosen = std::vector<float>(slots);
  tiny::bytes scratch{route_bytes<layer>(tokens)}, x_codes{tokens * c.hidden}, x_scales{40 * 4 * 2}, gate{slots * c.inter * 4},
      up{slots * c.inter * 4}, hidden_codes{slots * c.inter}, hidden_scales{slots * 4}, partials{slots * c.hidden * 4},
      shared{tokens * c.hidden * 4};
};
static_assert(c.hidden == 256 && c.inter == 128 && slots % 4 == 0 && tokens <= 40);  // the numbers of scales

// [stages]
/// A layer of DeepSeek-V3's kind with FP8 weights and FP8 rows (policies::fp8_w8a8). Every array is the engine's own.
template <backend B>
status routed_experts(B const& ctx, prepared_weights<B, layer> const& w, matrix_view<float const> x, matrix_view<float const> shared,
                      matrix_view<float> y, engine_memory& m) {
  std::int64_t const T = x.rows, rows = T * c.top_k;
  topk_choice const choice{m.ids.data(), m.chosen.data(), T, c.top_k};
  dispatch_map const map{m.offsets.data(), m.row_to_slot.data(), m.slot_to_row.data(), T, c.top_k, c.experts};
  quantized_rows<float> const q(m.x_codes.as<std::uint8_t>(), m.x_scales.as<float>(), T, c.hidden);
  quantized_rows<float> const hidden(m.hidden_codes.as<std::uint8_t>(), m.hidden_scales.as<float>(), rows, c.inter);
  matrix_view<float> const gate(m.gate.as<float>(), rows, c.inter), up(m.up.as<float>(), rows, c.inter);
  matrix_view<float> const partials(m.partials.as<float>(), rows, c.hidden);

  if (status s = route<layer>(ctx, x, w, m.scratch.memory(), choice); !s) return s;
  if (status s = make_dispatch_map(ctx, choice, map); !s) return s;
  if (status s = quantize(ctx, x, q); !s) return s;
  gemm_input const gathered{q, map.row_to_slot, c.top_k};  // no sorted copy of x is made
  if (status s = grouped_gemm(ctx, gathered, w.gate, map.expert_offsets, gate); !s) return s;
  if (status s = grouped_gemm(ctx, gathered, w.up, map.expert_offsets, up); !s) return s;
  if (status s = activation(ctx, gate, up, hidden, map.expert_offsets + c.experts); !s) return s;
  if (status s = grouped_gemm(ctx, gemm_input{hidden}, w.down, map.expert_offsets, partials); !s) return s;
  return unpermute(ctx, partials, map, choice, y, {.shared = shared});
}
// [stages]

/// The shared expert: one expert, null offsets.
template <backend B>
status shared_expert(B const& ctx, prepared_weights<B, layer> const& w, matrix_view<float const> x, engine_memory& m) {
  quantized_rows<float> const q(m.x_codes.as<std::uint8_t>(), m.x_scales.as<float>(), tokens, c.hidden);
  quantized_rows<float> const hidden(m.hidden_codes.as<std::uint8_t>(), m.hidden_scales.as<float>(), tokens, c.shared_inter);
  matrix_view<float> const gate(m.gate.as<float>(), tokens, c.shared_inter), up(m.up.as<float>(), tokens, c.shared_inter);
  matrix_view<float> const out(m.shared.as<float>(), tokens, c.hidden);
  // [shared]
  if (status s = quantize(ctx, x, q); !s) return s;
  if (status s = grouped_gemm(ctx, gemm_input{q}, w.shared_gate, nullptr, gate); !s) return s;
  if (status s = grouped_gemm(ctx, gemm_input{q}, w.shared_up, nullptr, up); !s) return s;
  if (status s = activation(ctx, gate, up, hidden); !s) return s;
  return grouped_gemm(ctx, gemm_input{hidden}, w.shared_down, nullptr, out);
  // [shared]
}

struct stage_by_stage : testing::Test {
  using context = cpu::on<cpu::serial_pool>;
  context ctx{cpu::serial_pool{}};
  tiny::weights const checkpoint;
  tiny::bytes packed{prepared_bytes<layer>(ctx)}, workspace{workspace_bytes<layer>(ctx, tokens)}, y_bytes{tokens * c.hidden * 4};
  matrix_view<float const> const x = checkpoint.x();
  matrix_view<float> const y{y_bytes.as<float>(), tokens, c.hidden};
  std::vector<std::uint32_t> const expected = tiny::forward_bits(ctx, checkpoint);
  prepared_weights<context, layer> w;
  engine_memory m;

  void SetUp() override { ASSERT_TRUE(prepare<layer>(ctx, checkpoint.all, packed.memory(), w)); }
  std::vector<std::uint32_t> y_bits() const { return {y_bytes.as<std::uint32_t>(), y_bytes.as<std::uint32_t>() + tokens * c.hidden}; }
};

TEST_F(stage_by_stage, gives_the_bits_of_forward) {
  ASSERT_TRUE(shared_expert(ctx, w, x, m));
  ASSERT_TRUE(routed_experts(ctx, w, x, matrix_view<float>(m.shared.as<float>(), tokens, c.hidden), y, m));
  EXPECT_EQ(y_bits(), expected);
}

TEST_F(stage_by_stage, takes_the_choice_of_a_router_of_ones_own) {
  topk_choice const mine{m.ids.data(), m.chosen.data(), tokens, c.top_k};
  ASSERT_TRUE(route<layer>(ctx, x, w, m.scratch.memory(), mine));  // as good as any
  // [given]
  status const s = forward<layer>(ctx, x, w, y, workspace.memory(), {.choice = mine, .given = given_choice::ids_and_weights});
  // [given]
  ASSERT_TRUE(s);
  EXPECT_EQ(y_bits(), expected);
}

TEST_F(stage_by_stage, gives_other_libraries_their_layout) {
  topk_choice const choice{m.ids.data(), m.chosen.data(), tokens, c.top_k};
  dispatch_map const map{m.offsets.data(), m.row_to_slot.data(), m.slot_to_row.data(), tokens, c.top_k, c.experts};
  ASSERT_TRUE(route<layer>(ctx, x, w, m.scratch.memory(), choice));
  ASSERT_TRUE(make_dispatch_map(ctx, choice, map));
  // [vllm]
  constexpr int block = 16;
  constexpr std::int64_t capacity = padded_capacity(slots, c.experts, block);
  std::int32_t sorted_token_ids[capacity], expert_ids[ceil_div(capacity, block)], num_tokens_post_padded = 0;
  status const s = adapt(ctx, map, vllm_layout{sorted_token_ids, expert_ids, &num_tokens_post_padded, capacity, block});
  // [vllm]
  ASSERT_TRUE(s) << describe(s).c_str();
  EXPECT_EQ(num_tokens_post_padded % block, 0);
  EXPECT_EQ(sorted_token_ids[0], m.row_to_slot[0]);
}

TEST_F(stage_by_stage, says_which_input_is_wrong) {
  const_cast<float*>(x.data)[3 * c.hidden + 17] = from_bits(inf_bits);
  tiny::bytes const most(find_wrong_bytes<layer>());
  memory const scratch = most.memory();
  // [checked]
  finding f{};                                              // all bytes 0, in memory that the backend writes
  status s = find_wrong(ctx, checkpoint.all, scratch, &f);  // once per load; scratch: find_wrong_bytes<layer>()
  if (s) s = find_wrong(ctx, x, scratch, &f, "x");          // before a call; scratch: find_wrong_bytes(x.rows)
  // [checked]
  ASSERT_TRUE(s) << describe(s).c_str();
  EXPECT_STREQ(describe(f).c_str(), "x[3, 17] is infinity");
}

TEST_F(stage_by_stage, has_its_cost_described) {
  // [describe]
  constexpr layer_cost cost = describe<layer, cpu::on<cpu::serial_pool>>({.tokens = 64});
  double const seconds = roofline_seconds(cost, {.bytes_per_second = 40e9, .operations_per_second = 200e9});
  // [describe]
  EXPECT_GT(seconds, 0.0);
  EXPECT_GT(cost.total().weight_bytes, 16 * 3 * 256 * 128);
}

}  // namespace
