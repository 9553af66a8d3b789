// How forward puts a layer together here: the dispatches, the memory, and that neither shows in the bits. That the bits are those of the
// stages run one by one is tests/conformance/layer_stages.hpp's to say.
#include <gtest/gtest.h>

#include <moesaic/cpu.hpp>
#include <moesaic/pipeline/describe.hpp>

#include "tiny_layer.hpp"

namespace {

using namespace moesaic;

struct counting_pool {
  int dispatches = 0;
  template <class F>
  void parallel_for(std::int64_t n, F const& f) {
    ++dispatches;
    for (std::int64_t i = n; i-- > 0;) f(i);  // any order will do
  }
};

int dispatches_of(std::int64_t tokens) {
  tiny::weights const w;
  counting_pool pool;
  cpu::on const ctx(pool);
  prepared_weights<std::remove_const_t<decltype(ctx)>, tiny::layer> prepared;
  tiny::bytes const home(prepared_bytes<tiny::layer>(ctx)), workspace(workspace_bytes<tiny::layer>(ctx, tokens)),
      y(static_cast<std::size_t>(tokens) * tiny::c.hidden * sizeof(float));
  EXPECT_TRUE(prepare<tiny::layer>(ctx, w.all, home.memory(), prepared));
  pool.dispatches = 0;
  matrix_view<float const> const x(w.x().data, tokens, tiny::c.hidden);
  EXPECT_TRUE(forward<tiny::layer>(ctx, x, prepared, matrix_view<float>(y.as<float>(), tokens, tiny::c.hidden), workspace.memory()));
  EXPECT_EQ(describe<tiny::layer>(ctx, {.tokens = tokens}).total().launches, pool.dispatches);
  return pool.dispatches;
}

TEST(cpu_layer, is_the_front_and_two_dispatches_for_few_tokens) {
  constexpr int front = 4;  // router, select, map, gather
  EXPECT_EQ(dispatches_of(1), front + 2);
  EXPECT_EQ(dispatches_of(tune::native::combined_tokens), front + 2);
  EXPECT_EQ(dispatches_of(tune::native::combined_tokens + 1), front + 3);
}

struct combining_never : tune::native {
  static constexpr std::int64_t combined_tokens = 0;
};
struct combining_always : tune::native {
  static constexpr std::int64_t combined_tokens = tiny::tokens;
};
TEST(cpu_layer, has_the_same_bits_whether_the_step_down_combines) {
  tiny::weights const w;
  counting_pool pool;
  EXPECT_EQ(tiny::forward_bits(cpu::on(pool, combining_always{}), w), tiny::forward_bits(cpu::on(pool, combining_never{}), w));
}

struct not_folding : cpu::on<cpu::serial_pool> {
  using cpu::on<cpu::serial_pool>::on;
  template <class L>
  static constexpr bool folds_shared = false;
};
TEST(cpu_layer, has_the_same_bits_whether_the_shared_expert_is_one_of_the_groups) {
  static_assert(detail::folds_shared<cpu::on<cpu::serial_pool>, tiny::layer> && !detail::folds_shared<not_folding, tiny::layer>);
  static_assert(!detail::folds_shared<cpu::on<cpu::serial_pool>, layer<models::tiny_c>>);  // two shared experts in one
  tiny::weights const w;
  EXPECT_EQ(tiny::forward_bits(cpu::on(cpu::serial_pool{}), w), tiny::forward_bits(not_folding{cpu::serial_pool{}}, w));
}

TEST(cpu_layer, leaves_no_room_for_gate_and_up_rows) {
  using l = layer<models::tiny_a>;
  static_assert(detail::has_own_rows<cpu::on<cpu::serial_pool>, l> && !detail::has_own_rows<reference::on, l>);
  constexpr moe_config c = l::config;
  constexpr std::int64_t tokens = 128, slots = tokens * c.top_k;
  auto const padded = [](std::int64_t rows, std::int64_t cols) { return rows * ceil_div(cols, scale_block) * scale_block; };
  // Beside what the reference keeps: x gathered for the slots and for the shared expert, hidden rows in whole blocks; less gate and up
  // rows.
  std::int64_t const more = padded(slots, c.hidden) + padded(tokens, c.hidden) + padded(slots, c.inter) + padded(tokens, c.shared_inter),
                     less = 2 * (slots * c.inter + tokens * c.shared_inter);
  EXPECT_EQ(workspace_bytes<l>(cpu::on(cpu::serial_pool{}), tokens) + static_cast<std::size_t>(less) * sizeof(float),
            workspace_bytes<l>(reference::on{}, tokens) + static_cast<std::size_t>(more) * sizeof(float));
}

}  // namespace
