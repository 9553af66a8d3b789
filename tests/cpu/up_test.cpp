// The step up is taken in one piece, and forward keeps no memory for what it then does not store. That the bits are the stages' is
// tests/conformance/layer_stages.hpp's to say.
#include <gtest/gtest.h>

#include <moesaic/cpu.hpp>

namespace {

using namespace moesaic;

TEST(cpu_up, leaves_no_room_for_gate_and_up_rows) {
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
