#include <moesaic/num/bf16.hpp>

#include "oracle.hpp"

namespace {

oracle::format const bfloat16(8, 7, 127, 0x7F80, false, 0x7FC0);

static_assert(sizeof(moesaic::bf16) == 2);
static_assert(moesaic::to_bf16(1.0f).bits == 0x3F80 && moesaic::to_float(moesaic::bf16{0xC000}) == -2.0f);
static_assert(moesaic::to_bf16(moesaic::from_bits(0xFFFF'FFFFu)).bits == 0x7FC0);

std::uint16_t encode(float x) { return moesaic::to_bf16(x).bits; }

TEST(bf16, every_code_has_its_value_and_comes_back) {
  for (std::uint32_t c = 0; c < 0x10000; ++c) {
    float const x = moesaic::to_float(moesaic::bf16{static_cast<std::uint16_t>(c)});
    std::uint32_t const m = c & 0x7FFFu;
    if (m > 0x7F80u) {
      ASSERT_EQ(oracle::bits_of(x), 0x7FC0'0000u) << c;
      ASSERT_EQ(encode(x), 0x7FC0u) << c;
      continue;
    }
    ASSERT_EQ(std::fabs(x), m == 0x7F80u ? static_cast<double>(oracle::infinity) : bfloat16.value[m]) << c;
    ASSERT_EQ(std::signbit(x), c >= 0x8000u) << c;
    ASSERT_EQ(encode(x), c);
  }
}

TEST(bf16, rounds_to_the_nearest_value_and_ties_to_even) {
  bfloat16.for_critical_floats([](float x) { ASSERT_EQ(encode(x), bfloat16.encode(x)) << std::hexfloat << x; });
  for (std::uint64_t u = 0; u < (std::uint64_t{1} << 32); u += 4099)
    ASSERT_EQ(encode(oracle::float_of(static_cast<std::uint32_t>(u))), bfloat16.encode(oracle::float_of(static_cast<std::uint32_t>(u))))
        << u;
}

TEST(bf16, overflows_to_infinity_and_keeps_denormals_and_the_sign_of_zero) {
  EXPECT_EQ(encode(0x1.fefffep127f), 0x7F7F);
  EXPECT_EQ(encode(-0x1.ffp127f), 0xFF80);
  EXPECT_EQ(encode(0x1p-133f), 0x0001);
  EXPECT_EQ(encode(-0x1p-134f), 0x8000);
  EXPECT_EQ(encode(-0.0f), 0x8000);
}

}  // namespace
