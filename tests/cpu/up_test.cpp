// The step up is taken in one piece, and forward keeps no memory for what it then does not store. That the bits are the stages' is
// tests/conformance/layer_stages.hpp's to say.
#include <gtest/gtest.h>

#include <moesaic/cpu.hpp>

namespace {

using namespace moesaic;
using cpu_context = cpu::on<cpu::serial_pool&>;

template <class Policy>
void expect_smaller_workspace(std::int64_t rows_not_kept) {
  using l = layer<models::tiny_a, Policy>;
  static_assert(detail::fuses_up<cpu_context, l> && !detail::fuses_up<reference::on, l>);
  cpu::serial_pool threads;
  constexpr std::int64_t tokens = 16;
  std::size_t const fused = workspace_bytes<l>(cpu::on(threads), tokens), unfused = workspace_bytes<l>(reference::on{}, tokens);
  constexpr moe_config c = l::config;
  EXPECT_EQ(unfused - fused, static_cast<std::size_t>(rows_not_kept * tokens * (c.top_k * c.inter + c.shared_inter)) * sizeof(float));
}

TEST(cpu_up, leaves_no_room_for_up_rows) { expect_smaller_workspace<policies::fp8_weights>(1); }
TEST(cpu_up, leaves_no_room_for_gate_and_up_rows_where_hidden_rows_are_quantized) {
  expect_smaller_workspace<policies::fp8_w8a8>(2);
  expect_smaller_workspace<policies::fp8_w8a8_ue8m0>(2);
}

}  // namespace
