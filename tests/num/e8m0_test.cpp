#include <moesaic/num/e8m0.hpp>

#include "oracle.hpp"

namespace {

static_assert(moesaic::e8m0_to_float(127) == 1.0f && moesaic::e8m0_to_float(0) == 0x1p-127f && moesaic::to_e8m0_ceil(1.0f) == 127);

TEST(e8m0, every_code_has_its_value_and_comes_back) {
  for (int c = 0; c < 255; ++c) {
    float const x = moesaic::e8m0_to_float(static_cast<std::uint8_t>(c));
    EXPECT_EQ(x, std::ldexp(1.0, c - 127)) << c;
    EXPECT_EQ(moesaic::to_e8m0_ceil(x), c);
  }
  EXPECT_EQ(oracle::bits_of(moesaic::e8m0_to_float(0xFF)), 0x7FC0'0000u);
}

TEST(e8m0, ceil_is_the_smallest_power_of_two_that_is_not_below) {
  oracle::for_floats(257, [](float x) {
    if (std::isnan(x)) return;
    std::uint32_t const code = moesaic::to_e8m0_ceil(x);
    double const a = std::fabs(static_cast<double>(x));
    if (std::isinf(a)) {
      ASSERT_EQ(code, 255u);
    } else if (a > 0x1p127) {
      ASSERT_EQ(code, 254u);
    } else {
      ASSERT_LE(a, std::ldexp(1.0, static_cast<int>(code) - 127)) << std::hexfloat << x;
      if (code > 0) {
        ASSERT_GT(a, std::ldexp(1.0, static_cast<int>(code) - 128)) << std::hexfloat << x;
      }
    }
  });
}

TEST(e8m0, just_above_a_power_of_two_goes_to_the_next) {
  for (int exponent = -127; exponent < 127; ++exponent) {
    auto const x = static_cast<float>(std::ldexp(1.0, exponent));
    EXPECT_EQ(moesaic::to_e8m0_ceil(x), exponent + 127);
    EXPECT_EQ(moesaic::to_e8m0_ceil(std::nextafter(x, oracle::infinity)), exponent + 128);
  }
}

TEST(e8m0, clamps_what_it_cannot_hold) {
  EXPECT_EQ(moesaic::to_e8m0_ceil(0.0f), 0);
  EXPECT_EQ(moesaic::to_e8m0_ceil(0x1p-149f), 0);
  EXPECT_EQ(moesaic::to_e8m0_ceil(0x1.fffffcp-127f), 1);
  EXPECT_EQ(moesaic::to_e8m0_ceil(std::numeric_limits<float>::max()), 254);
  EXPECT_EQ(moesaic::to_e8m0_ceil(oracle::infinity), 255);
  for (std::uint32_t u : {0x7F80'0001u, 0x7FC0'0000u, 0xFFFF'FFFFu}) EXPECT_EQ(moesaic::to_e8m0_ceil(oracle::float_of(u)), 255);
}

}  // namespace
