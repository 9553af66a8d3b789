#include <gtest/gtest.h>

#include <moesaic/moesaic.hpp>

namespace {

using namespace moesaic;

TEST(workspace, grows_with_the_tokens_and_is_the_offsets_alone_without) {
  using l = layer<models::deepseek_v3>;
  constexpr reference::on ctx;
  EXPECT_EQ(workspace_bytes<l>(ctx, 0), align_up(257 * 4, 64));
  std::size_t last = 0;
  for (std::int64_t tokens : {1, 2, 7, 64, 512, 4096}) {
    std::size_t const bytes = workspace_bytes<l>(ctx, tokens);
    EXPECT_GT(bytes, last);
    last = bytes;
  }
  // The largest parts for one token: K rows of gate, up and down in fp32, and the shared expert's.
  EXPECT_GE(workspace_bytes<l>(ctx, 1), 4U * (8 * (2 * 2048 + 7168) + 2 * 2048 + 7168));
}

TEST(arena, arrays_start_at_64_bytes_and_do_not_overlap) {
  alignas(64) char bytes[512];
  arena a(memory{bytes, sizeof bytes});
  auto* const first = a.take<float>(3);
  auto* const second = a.take<std::uint8_t>(65);
  auto* const third = a.take<std::int32_t>(1);
  EXPECT_EQ(reinterpret_cast<char*>(first), bytes);
  EXPECT_EQ(reinterpret_cast<char*>(second), bytes + 64);
  EXPECT_EQ(reinterpret_cast<char*>(third), bytes + 192);
  EXPECT_EQ(a.used(), 256U);
}

}  // namespace
