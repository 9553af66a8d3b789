// describe() against what forward really does: a context that counts every launch and every multiply-add on its way to the reference.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <moesaic/moesaic.hpp>
#include <moesaic/pipeline/describe.hpp>
#include <set>
#include <vector>

namespace {

using namespace moesaic;

struct counts {
  int launches = 0;
  double operations = 0.0, weight_bytes = 0.0;
};

/// The reference backend, counted. Its GEMMs only count: describe() is not about values.
struct counting : unpacked_weights {
  counts* seen;
  explicit counting(counts* c) : seen(c) {}

  template <class F>
  status launch(std::int64_t n, F const& f) const {
    ++seen->launches;
    return reference::on{}.launch(n, f);
  }
  template <class Rows, weight_format F>
  status grouped_gemm(gemm_input<Rows> const&, weight_matrices<F> const& w, std::int32_t const* offsets, matrix_view<float> out) const {
    ++seen->launches;
    for (int e = 0; e < w.experts; ++e) {
      std::int64_t const rows = offsets != nullptr ? offsets[e + 1] - offsets[e] : out.rows;
      seen->operations += 2.0 * static_cast<double>(rows * w.n * w.k);
      if (rows > 0) seen->weight_bytes += matrix_bytes(F, w.n, w.k);
    }
    for (std::int64_t r = 0; r < out.rows; ++r)
      for (std::int64_t n = 0; n < w.n; ++n) out(r, n) = static_cast<float>((r * 7 + n * 13) % 5);
    return {};
  }
};
/// With the step up in one piece.
struct counting_fused : counting {
  using counting::counting;
  template <class L>
  static constexpr bool fuses_up = true;
  template <activation_format, class Rows, weight_format F, class Rule, class Hidden>
  status up(gemm_input<Rows> const& x, weight_matrices<F> const& gate, weight_matrices<F> const& up_weights, std::int32_t const* offsets,
            Rule const&, Hidden const& out) const {
    std::vector<float> ignored(static_cast<std::size_t>(out.rows * out.cols));
    matrix_view<float> const target(ignored.data(), out.rows, out.cols);
    seen->launches -= gate.experts > 0 ? 1 : 0;
    if (gate.experts > 0)
      if (status const s = grouped_gemm(x, gate, offsets, target); !s) return s;
    return grouped_gemm(x, up_weights, offsets, target);
  }
};

/// With hidden rows quantised in that piece, by counters that are its own and zero.
struct counting_quantizing : counting_fused {
  using counting_fused::counting_fused;
  template <class L>
  static constexpr bool quantizes_up = is_quantized(L::policy.activations);
  static constexpr std::size_t up_counter_bytes(std::int64_t rows, int, std::int64_t) { return static_cast<std::size_t>(rows) * 4; }
  status clear(memory counters) const {
    ++seen->launches;
    std::memset(counters.data, 0, counters.bytes);
    return {};
  }
  template <class Rows, weight_format F, class Rule, class Hidden>
  status up_and_quantize(gemm_input<Rows> const& x, weight_matrices<F> const& gate, weight_matrices<F> const& up_weights,
                         std::int32_t const* offsets, Rule const& rule, matrix_view<float> way, Hidden const& hidden,
                         void* counters) const {
    EXPECT_EQ(way.rows, hidden.rows);
    for (std::int64_t r = 0; r < way.rows; ++r) EXPECT_EQ(static_cast<std::int32_t*>(counters)[r]++, 0);
    return up<activation_format::f32>(x, gate, up_weights, offsets, rule, way);
  }
};

/// With the shared expert in the same launches.
struct counting_folded : counting_fused {
  using counting_fused::counting_fused;
  template <class L>
  static constexpr bool folds_shared = shared_is_like_routed<L>;
  template <activation_format F, class Rows, class Weights, class Rule, class Hidden, class... Shared>
  status up(gemm_input<Rows> const& x, Weights const& gate, Weights const& up_weights, std::int32_t const* offsets, Rule const& rule,
            Hidden const& out, Shared const&... shared) const {
    if constexpr (sizeof...(Shared) > 0) add_shared(shared...);
    return counting_fused::up<F>(x, gate, up_weights, offsets, rule, out);
  }
  template <class Rows, class Weights, class... Shared>
  status grouped_gemm(gemm_input<Rows> const& a, Weights const& w, std::int32_t const* offsets, matrix_view<float> out,
                      Shared const&... shared) const {
    if constexpr (sizeof...(Shared) > 0) add_shared(shared...);
    return counting::grouped_gemm(a, w, offsets, out);
  }

 private:
  template <weight_format F>
  void add_shared(weight_matrices<F> const* w, std::int64_t rows) const {
    seen->operations += 2.0 * static_cast<double>(rows * w->n * w->k);
    if (w->experts > 0) seen->weight_bytes += matrix_bytes(F, w->n, w->k);
  }
  template <weight_format F>
  void add_shared(weight_matrices<F> const* gate, weight_matrices<F> const* up, std::int64_t rows) const {
    add_shared(gate, rows);
    add_shared(up, rows);
  }
};

/// Memory that a test need not size.
struct arena_memory {
  std::vector<std::unique_ptr<std::byte[]>> blocks;
  memory take(std::size_t bytes) {
    blocks.push_back(std::make_unique<std::byte[]>(bytes + 64));
    auto const at = reinterpret_cast<std::uintptr_t>(blocks.back().get());
    return {blocks.back().get() + (64 - at % 64) % 64, bytes};
  }
  template <class T>
  T* array(std::int64_t count) {
    return static_cast<T*>(take(static_cast<std::size_t>(count) * sizeof(T)).data);
  }
};

template <class L, class X, class Context>
void expect_described(std::int64_t tokens) {
  constexpr moe_config c = L::config;
  counts seen;
  Context const ctx(&seen);
  arena_memory a;
  using code = weight_code_t<L::policy.weights>;
  auto const matrices = [&](int experts, int n, int k) {
    weight_matrices<L::policy.weights> w{experts, n, k};
    w.codes.base = a.array<code>(std::int64_t{n} * k);
    w.scales.base = a.array<float>(ceil_div(n, 128) * ceil_div(k, 128));
    return w;
  };
  prepared_weights<Context, L> weights;
  weights.router = {1, c.choices(), c.hidden, {a.array<weight_code_t<L::policy.router>>(std::int64_t{c.choices()} * c.hidden)}};
  weights.bias = weights.logit_bias = a.array<float>(c.choices());
  weights.gate_bias = weights.up_bias = weights.down_bias = a.array<float>(std::int64_t{c.experts} * c.hidden);
  weights.up = matrices(c.experts, c.inter, c.hidden);
  weights.down = matrices(c.experts, c.hidden, c.inter);
  if (is_gated(c.act)) weights.gate = weights.up;
  if (c.shared_inter > 0) {
    weights.shared_up = matrices(1, c.shared_inter, c.hidden);
    weights.shared_down = matrices(1, c.hidden, c.shared_inter);
    if (is_gated(c.act)) weights.shared_gate = weights.shared_up;
  }
  if (c.shared_gated) weights.shared_token_gate = {1, 1, c.hidden, {weights.router.codes.base}};
  matrix_view<X> const x(a.array<X>(tokens * c.hidden), tokens, c.hidden);
  std::vector<std::int32_t> ids(static_cast<std::size_t>(tokens * c.top_k));
  std::vector<float> w(ids.size());
  status const s =
      forward<L>(ctx, x, weights, x, a.take(workspace_bytes<L>(ctx, tokens)), {.choice = {ids.data(), w.data(), tokens, c.top_k}});
  ASSERT_TRUE(s) << describe(s).c_str();

  std::set<std::int32_t> active;
  double rows = 0;
  for (std::int32_t const id : ids)
    if (id < c.experts) active.insert(id), rows += 1;
  stage_cost const total = describe<L>(ctx, {.tokens = tokens,
                                             .active_experts = static_cast<double>(active.size()),
                                             .rows = rows,
                                             .x_bytes = sizeof(X),
                                             .y_bytes = sizeof(X)})
                               .total();
  EXPECT_EQ(total.launches, seen.launches);
  EXPECT_EQ(total.operations, seen.operations);
  EXPECT_EQ(total.weight_bytes, seen.weight_bytes);
}

template <class L>
void expect_described_everywhere() {
  for (std::int64_t const tokens : {1, 5}) {
    expect_described<L, float, counting>(tokens);
    expect_described<L, bf16, counting>(tokens);
    expect_described<L, float, counting_fused>(tokens);
    expect_described<L, bf16, counting_fused>(tokens);
    expect_described<L, float, counting_quantizing>(tokens);
    expect_described<L, bf16, counting_quantizing>(tokens);
    expect_described<L, float, counting_folded>(tokens);
    expect_described<L, bf16, counting_folded>(tokens);
  }
}

template <class Base>
struct small {
  static constexpr moe_config config = [] {
    moe_config c = Base::config;
    c.hidden = 136, c.inter = 40;
    if (c.shared_inter > 0) c.shared_inter = 24;
    return c;
  }();
};

TEST(describe, counts_the_launches_operations_and_weights_of_forward) {
  expect_described_everywhere<layer<models::tiny_a>>();
  expect_described_everywhere<layer<models::tiny_b, policies::fp8_w8a8>>();
  expect_described_everywhere<layer<models::tiny_c, policies::bf16_weights>>();
  expect_described_everywhere<layer<small<models::qwen1_5_moe_a2_7b>, policies::bf16_weights>>();
  expect_described_everywhere<layer<small<models::longcat_flash>>>();
  expect_described_everywhere<layer<small<models::gpt_oss_120b>, policies::bf16_weights>>();
}

template <class L>
void expect_no_gate_and_up_rows(double bytes_of_x) {
  constexpr moe_config c = L::config;
  constexpr std::int64_t tokens = 64, rows = tokens * c.top_k;
  constexpr layer_cost in_parts = describe<L, counting>({.tokens = tokens, .active_experts = c.experts, .rows = rows});
  constexpr layer_cost in_one = describe<L, counting_fused>({.tokens = tokens, .active_experts = c.experts, .rows = rows});
  // Of gate and up rows none, or one in whose place hidden rows are that are to be quantised.
  int const saved = is_quantized(L::policy.activations) ? 1 : 2;
  double const through_memory = 2.0 * saved * 4 * (rows * c.inter + tokens * c.shared_inter), x_again = tokens * bytes_of_x;
  EXPECT_EQ(in_parts.total().row_bytes - in_one.total().row_bytes, through_memory + x_again + (c.shared_inter > 0 ? x_again : 0.0));
  EXPECT_EQ(in_parts.total().launches - in_one.total().launches, saved * (c.shared_inter > 0 ? 2 : 1));
  EXPECT_EQ(in_parts.total().weight_bytes, in_one.total().weight_bytes);
  EXPECT_EQ(in_parts.total().operations, in_one.total().operations);

  // In the workspace that one is always there.
  counts unused;
  EXPECT_EQ(workspace_bytes<L>(counting(&unused), tokens) - workspace_bytes<L>(counting_fused(&unused), tokens),
            static_cast<std::size_t>(4 * (rows * c.inter + tokens * c.shared_inter)));
}

TEST(describe, a_step_up_in_one_piece_keeps_no_gate_and_up_rows) {
  expect_no_gate_and_up_rows<layer<models::deepseek_v3>>(7168 * 4);
  expect_no_gate_and_up_rows<layer<models::mixtral_8x7b>>(4096 * 4);
  expect_no_gate_and_up_rows<layer<models::deepseek_v3, policies::fp8_w8a8>>(7168 + 56 * 4);
}

// What docs/cuda.md says of DeepSeek-V3 on any GPU.
TEST(describe, a_folded_shared_expert_saves_its_launches) {
  constexpr layer_work work{.tokens = 64, .x_bytes = 2};
  using by_weights = layer<models::deepseek_v3>;
  using by_codes = layer<models::deepseek_v3, policies::fp8_w8a8>;
  constexpr stage_cost apart = describe<by_weights, counting_fused>(work).total(),
                       folded = describe<by_weights, counting_folded>(work).total();
  EXPECT_EQ(apart.launches - folded.launches, 2);
  EXPECT_EQ(apart.row_bytes - folded.row_bytes, 64.0 * 7168 * 4);  // tokens are read by one step up, not by two
  EXPECT_EQ(apart.weight_bytes, folded.weight_bytes);
  EXPECT_EQ(apart.operations, folded.operations);
  constexpr stage_cost codes_apart = describe<by_codes, counting_fused>(work).total();
  EXPECT_EQ(codes_apart.launches - (describe<by_codes, counting_folded>(work).total().launches), 3);
}

TEST(describe, is_a_constant_and_knows_deepseek_v3) {
  using L = layer<models::deepseek_v3>;
  constexpr layer_cost one = describe<L, reference::on>({.tokens = 1});
  // An expert's three matrices: 44 040 192 codes and 3 · 16 · 56 scales of 4 bytes; 8 experts and the shared one.
  constexpr double expert = 44040192 + 4.0 * 3 * 16 * 56;
  EXPECT_NEAR(one.total().weight_bytes, 9 * expert + 256.0 * 7168 * 2, 1.0);
  EXPECT_NEAR(one.total().operations, 2.0 * (9 * 44040192.0 + 256.0 * 7168), 1.0);
  // router.md's times at 4.8 TB/s: 73.4 µs of routed experts for one token.
  EXPECT_NEAR(8 * expert / 4.8e12, 73.4e-6, 0.1e-6);
  EXPECT_NEAR(expected_active_experts(L::config, 64), 256 * (1 - std::pow(1 - 8.0 / 256, 64)), 1e-9);
}

TEST(describe, roofline_is_the_slower_of_memory_and_arithmetic_and_the_launches_on_top) {
  stage_cost const s{.name = "s", .launches = 2, .weight_bytes = 50, .row_bytes = 50, .operations = 1000};
  EXPECT_EQ(roofline_seconds(s, {100, 1e9}), 1.0);
  EXPECT_EQ(roofline_seconds(s, {1e9, 500}), 2.0);
  EXPECT_EQ(roofline_seconds(s, {100, 1e9, 0.25}), 1.5);
}

}  // namespace
