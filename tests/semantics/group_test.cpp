#include <gtest/gtest.h>

#include <moesaic/semantics/group.hpp>
#include <random>
#include <vector>

namespace {

// The order in words: 32 lanes, lane l takes l, l + 32, …; then halves are added onto halves. Written without the library.
float sum_in_the_promised_order(std::vector<float> const& v) {
  std::vector<float> lane(32, 0.0F);
  for (std::size_t i = 0; i < v.size(); ++i) {
    float volatile s = lane[i % 32] + v[i];  // volatile: one fp32 addition, whatever the flags
    lane[i % 32] = s;
  }
  while (lane.size() > 1) {
    std::vector<float> half(lane.size() / 2);
    for (std::size_t i = 0; i < half.size(); ++i) {
      float volatile s = lane[i] + lane[i + half.size()];
      half[i] = s;
    }
    lane = half;
  }
  return lane[0];
}

TEST(serial_group, sum_has_the_promised_order_for_every_length) {
  std::mt19937 random(7);
  std::uniform_real_distribution<float> value(-1e6F, 1e6F);
  for (int n = 0; n <= 200; ++n) {
    std::vector<float> v(static_cast<std::size_t>(n));
    for (float& x : v) x = value(random);
    float const got = moesaic::serial_group{}.sum(n, [&](int i) { return v[static_cast<std::size_t>(i)]; });
    EXPECT_EQ(got, sum_in_the_promised_order(v)) << n;
  }
}

TEST(serial_group, max_and_min_see_every_index) {
  for (int n : {1, 2, 31, 32, 33, 100})
    for (int at = 0; at < n; ++at) {
      EXPECT_EQ(moesaic::serial_group{}.max(n, [&](int i) { return i == at ? ~0U : 5U; }), ~0U);
      EXPECT_EQ(moesaic::serial_group{}.min(n, [&](int i) { return i == at ? 0U : 5U; }), 0U);
    }
}

}  // namespace
