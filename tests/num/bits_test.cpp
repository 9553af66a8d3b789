#include <moesaic/num/bits.hpp>

#include "oracle.hpp"

namespace {

static_assert(moesaic::to_bits(-2.0f) == 0xC000'0000u && moesaic::from_bits(0x3F80'0000u) == 1.0f);
static_assert(moesaic::is_nan(moesaic::from_bits(moesaic::nan_bits)) && !moesaic::is_nan(moesaic::from_bits(moesaic::inf_bits)));

TEST(bits, every_pattern_survives_the_round_trip) {
  oracle::for_floats(65537, [](float x) { ASSERT_EQ(moesaic::to_bits(moesaic::from_bits(oracle::bits_of(x))), oracle::bits_of(x)); });
}

TEST(bits, abs_bits_orders_as_magnitudes_do_and_nan_is_above_all) {
  oracle::random_bits random;
  for (int i = 0; i < 1000000; ++i) {
    float const x = random.any_float(), y = random.any_float();
    if (std::isnan(x) || std::isnan(y)) {
      ASSERT_EQ(std::isnan(x), moesaic::abs_bits(x) > moesaic::inf_bits);
      continue;
    }
    ASSERT_EQ(moesaic::abs_bits(x) < moesaic::abs_bits(y), std::fabs(x) < std::fabs(y));
  }
}

TEST(bits, is_nan_knows_every_nan) {
  oracle::for_floats(257, [](float x) { ASSERT_EQ(moesaic::is_nan(x), std::isnan(x)); });
}

}  // namespace
