#include <moesaic/num/block_scale.hpp>

#include "oracle.hpp"

namespace {

constexpr float nan = moesaic::from_bits(moesaic::nan_bits);
constexpr float infinity = moesaic::from_bits(moesaic::inf_bits);

static_assert(moesaic::block_scale(448.0f) == 1.0f && moesaic::block_scale(0.0f) == 1e-4f / 448.0f);
static_assert(moesaic::block_scale_e8m0(448.0f) == 127 && moesaic::block_scale_e8m0(449.0f) == 128);
static_assert(moesaic::quantize_e4m3(2.0f, 2.0f) == 0x38 && moesaic::quantize_e4m3(1.0f, nan) == 0x7F &&
              moesaic::quantize_e4m3(nan, 1.0f) == 0x7F);
static_assert(moesaic::quantize_e4m3(infinity, infinity) == 0x7F && moesaic::block_scale_e8m0(nan) == 0xFF);

TEST(block_scale, is_one_fp32_division_with_a_floor) {
  oracle::for_floats(257, [](float x) {
    if (std::isnan(x)) return;
    // A quotient of two floats, rounded to double and then to float, is rounded as once: 53 >= 2 * 24 + 2.
    auto const expected = static_cast<float>(static_cast<double>(std::max(std::fabs(x), 1e-4f)) / 448.0);
    ASSERT_EQ(moesaic::block_scale(x), expected) << std::hexfloat << x;
  });
}

TEST(block_scale, e8m0_is_the_scale_rounded_up_to_a_power_of_two) {
  oracle::for_floats(1021, [](float x) {
    if (!std::isfinite(x)) return;
    float const scale = moesaic::block_scale(x), power = moesaic::e8m0_to_float(moesaic::block_scale_e8m0(x));
    int exponent = 0;
    ASSERT_EQ(std::frexp(power, &exponent), 0.5f);
    ASSERT_GE(power, scale);
    ASSERT_LT(power / 2, scale);
  });
  for (int e = -20; e < 100; ++e) {
    float const amax = std::ldexp(448.0f, e);
    EXPECT_EQ(moesaic::block_scale_e8m0(amax), e + 127);
    EXPECT_EQ(moesaic::block_scale_e8m0(std::nextafter(amax, infinity)), e + 128);
  }
}

TEST(block_scale, an_amax_that_is_not_a_number_makes_the_whole_block_not_a_number) {
  for (std::uint32_t u : {0x7F80'0001u, 0x7FFF'FFFFu, 0xFFC0'0000u}) {
    float const amax = oracle::float_of(u), scale = moesaic::block_scale(amax);
    EXPECT_EQ(oracle::bits_of(scale), moesaic::nan_bits);
    EXPECT_EQ(moesaic::block_scale_e8m0(amax), 0xFF);
    for (float x : {0.0f, 1.0f, -infinity, nan}) EXPECT_EQ(moesaic::quantize_e4m3(x, scale), 0x7F);
  }
}

TEST(block_scale, an_infinite_amax_reads_back_as_nan) {
  float const scale = moesaic::block_scale(infinity);
  EXPECT_EQ(scale, infinity);
  EXPECT_EQ(moesaic::block_scale_e8m0(infinity), 0xFF);
  for (float x : {0.0f, 1.0f, infinity}) EXPECT_TRUE(std::isnan(moesaic::e4m3_to_float(moesaic::quantize_e4m3(x, scale)) * scale)) << x;
}

// The block's largest value uses the format's largest code, and every value comes back within half a step.
TEST(block_scale, quantised_values_come_back_within_half_a_step) {
  oracle::random_bits random;
  for (int block = 0; block < 2000; ++block) {
    std::vector<float> x(moesaic::scale_block);
    float const size = std::ldexp(1.0f, static_cast<int>(random() % 40) - 10);
    std::uint32_t most = 0;
    for (float& v : x) v = (static_cast<float>(random() >> 40) * 0x1p-23f - 1.0f) * size, most = std::max(most, moesaic::abs_bits(v));
    float const amax = oracle::float_of(most);
    for (float scale : {moesaic::block_scale(amax), moesaic::e8m0_to_float(moesaic::block_scale_e8m0(amax))}) {
      for (float v : x) {
        std::uint8_t const code = moesaic::quantize_e4m3(v, scale);
        double const back = static_cast<double>(moesaic::e4m3_to_float(code)) * scale;
        double const step = std::max(std::fabs(static_cast<double>(v)) / 16, 0x1p-10 * scale);
        ASSERT_LE(std::fabs(back - v), step * (1 + 1e-6)) << v << ' ' << scale;
        if (scale == moesaic::block_scale(amax) && std::fabs(v) == amax) {
          ASSERT_EQ(code & 0x7F, 0x7E);
        }
      }
    }
  }
}

}  // namespace
