#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <moesaic/semantics/key.hpp>

namespace {

using moesaic::ordered_key;
using moesaic::score_of;

TEST(ordered_key, keeps_the_order_of_all_neighbours) {
  float const infinity = std::numeric_limits<float>::infinity();
  float x = -infinity;
  // Every 997th float from −inf to +inf, and its neighbour.
  for (std::uint64_t n = 0;; ++n) {
    float const next = std::nextafter(x, infinity);
    if (x == 0.0F && next == 0.0F) break;
    ASSERT_LT(ordered_key(x), ordered_key(next)) << x;
    ASSERT_EQ(score_of(ordered_key(x)), x);
    std::uint32_t const key = ordered_key(next);
    if (key > ordered_key(infinity) - 997) break;
    x = score_of(key + 996);
  }
  EXPECT_LT(ordered_key(std::numeric_limits<float>::max()), ordered_key(infinity));
}

TEST(ordered_key, minus_zero_equals_plus_zero) {
  EXPECT_EQ(ordered_key(-0.0F), ordered_key(0.0F));
  EXPECT_FALSE(std::signbit(score_of(ordered_key(-0.0F))));
}

TEST(ordered_key, every_nan_stands_below_minus_infinity) {
  for (std::uint32_t bits : {0x7f800001U, 0x7fc00000U, 0x7fffffffU, 0xff800001U, 0xffc00000U, 0xffffffffU})
    EXPECT_EQ(ordered_key(moesaic::from_bits(bits)), moesaic::no_key);
  EXPECT_GT(ordered_key(-std::numeric_limits<float>::infinity()), moesaic::no_key);
}

}  // namespace
