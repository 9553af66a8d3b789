#include <moesaic/num/e4m3.hpp>

#include "oracle.hpp"

namespace {

oracle::format const e4m3fn(4, 3, 7, 0x7F, true, 0x7F);

static_assert(moesaic::to_e4m3(448.0f) == 0x7E && moesaic::to_e4m3(1.0f) == 0x38 && moesaic::to_e4m3(-0.0f) == 0x80);
static_assert(moesaic::to_e4m3(moesaic::from_bits(moesaic::nan_bits)) == 0x7F &&
              moesaic::to_e4m3(moesaic::from_bits(moesaic::inf_bits)) == 0x7E);
static_assert(moesaic::e4m3_to_float(0x7E) == moesaic::e4m3_max && moesaic::e4m3_to_float(0x01) == 0x1p-9f);

TEST(e4m3, every_code_has_its_value_and_comes_back) {
  for (std::uint32_t c = 0; c < 0x100; ++c) {
    float const x = moesaic::e4m3_to_float(static_cast<std::uint8_t>(c));
    if ((c & 0x7Fu) == 0x7Fu) {
      EXPECT_EQ(oracle::bits_of(x), 0x7FC0'0000u);
      EXPECT_EQ(moesaic::to_e4m3(x), 0x7F);
      continue;
    }
    EXPECT_EQ(std::fabs(x), e4m3fn.value[c & 0x7Fu]) << c;
    EXPECT_EQ(std::signbit(x), c >= 0x80u) << c;
    EXPECT_EQ(moesaic::to_e4m3(x), c);
  }
}

TEST(e4m3, rounds_to_the_nearest_value_and_ties_to_even) {
  e4m3fn.for_critical_floats([](float x) { ASSERT_EQ(moesaic::to_e4m3(x), e4m3fn.encode(x)) << std::hexfloat << x; });
  oracle::for_floats(1021, [](float x) { ASSERT_EQ(moesaic::to_e4m3(x), e4m3fn.encode(x)) << std::hexfloat << x; });
}

TEST(e4m3, rounds_ties_to_even) {
  EXPECT_EQ(moesaic::to_e4m3(1.0625f), 0x38);    // between 1 and 1.125
  EXPECT_EQ(moesaic::to_e4m3(1.1875f), 0x3A);    // between 1.125 and 1.25
  EXPECT_EQ(moesaic::to_e4m3(0x1p-10f), 0x00);   // between 0 and the smallest denormal
  EXPECT_EQ(moesaic::to_e4m3(0x1.8p-9f), 0x02);  // between two denormals
  EXPECT_EQ(moesaic::to_e4m3(0x1.ep-7f), 0x08);  // between the largest denormal and the smallest normal value
  EXPECT_EQ(moesaic::to_e4m3(0x1.000002p-10f), 0x01);
}

TEST(e4m3, saturates_at_448_also_where_the_nearest_value_of_a_wider_format_would_be_480) {
  for (float x : {448.1f, 464.0f, 464.1f, 480.0f, 1e30f, oracle::infinity}) {
    EXPECT_EQ(moesaic::to_e4m3(x), 0x7E) << x;
    EXPECT_EQ(moesaic::to_e4m3(-x), 0xFE) << x;
  }
}

TEST(e4m3, every_nan_gives_one_code_and_the_sign_of_zero_is_kept) {
  for (std::uint32_t u : {0x7F80'0001u, 0x7FC0'0000u, 0x7FFF'FFFFu, 0xFF80'0001u, 0xFFC0'0000u, 0xFFFF'FFFFu})
    EXPECT_EQ(moesaic::to_e4m3(oracle::float_of(u)), 0x7F);
  EXPECT_EQ(moesaic::to_e4m3(0.0f), 0x00);
  EXPECT_EQ(moesaic::to_e4m3(-0.0f), 0x80);
  EXPECT_EQ(moesaic::to_e4m3(-1e-30f), 0x80);
}

}  // namespace
