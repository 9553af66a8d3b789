#include <moesaic/num/fp16.hpp>

#include "oracle.hpp"

#if defined(__F16C__)
#include <immintrin.h>
#endif

namespace {

oracle::format const half(5, 10, 15, 0x7C00, false, 0x7E00);

static_assert(sizeof(moesaic::fp16) == 2);
static_assert(moesaic::to_fp16(1.0f).bits == 0x3C00 && moesaic::to_float(moesaic::fp16{0xC000}) == -2.0f);
static_assert(moesaic::to_float(moesaic::fp16{0x0001}) == 0x1p-24f && moesaic::to_fp16(0x1p-24f).bits == 0x0001);
static_assert(moesaic::to_fp16(moesaic::from_bits(0xFFFF'FFFFu)).bits == 0x7E00 && moesaic::to_fp16(1e30f).bits == 0x7C00);

std::uint16_t encode(float x) { return moesaic::to_fp16(x).bits; }

TEST(fp16, every_code_has_its_value_and_comes_back) {
  for (std::uint32_t c = 0; c < 0x10000; ++c) {
    float const x = moesaic::to_float(moesaic::fp16{static_cast<std::uint16_t>(c)});
    std::uint32_t const m = c & 0x7FFFu;
    if (m > 0x7C00u) {
      ASSERT_EQ(oracle::bits_of(x), 0x7FC0'0000u) << c;
      ASSERT_EQ(encode(x), 0x7E00u) << c;
      continue;
    }
    ASSERT_EQ(std::fabs(x), m == 0x7C00u ? static_cast<double>(oracle::infinity) : half.value[m]) << c;
    ASSERT_EQ(std::signbit(x), c >= 0x8000u) << c;
    ASSERT_EQ(encode(x), c);
  }
}

TEST(fp16, rounds_to_the_nearest_value_and_ties_to_even) {
  half.for_critical_floats([](float x) { ASSERT_EQ(encode(x), half.encode(x)) << std::hexfloat << x; });
  for (std::uint64_t u = 0; u < (std::uint64_t{1} << 32); u += 4099)
    ASSERT_EQ(encode(oracle::float_of(static_cast<std::uint32_t>(u))), half.encode(oracle::float_of(static_cast<std::uint32_t>(u)))) << u;
}

TEST(fp16, overflows_to_infinity_and_keeps_denormals_and_the_sign_of_zero) {
  EXPECT_EQ(encode(65519.99f), 0x7BFF);
  EXPECT_EQ(encode(65520.0f), 0x7C00);
  EXPECT_EQ(encode(-oracle::infinity), 0xFC00);
  EXPECT_EQ(encode(0x1p-25f), 0x0000);
  EXPECT_EQ(encode(-0x1.000002p-25f), 0x8001);
  EXPECT_EQ(encode(-0.0f), 0x8000);
}

#if defined(__F16C__) || defined(__aarch64__)
TEST(fp16, agrees_with_the_processor_but_for_the_payload_of_nan) {
  oracle::for_floats(257, [](float x) {
    if (!std::isnan(x)) {
#if defined(__aarch64__)
      std::uint32_t const expected = __builtin_bit_cast(std::uint16_t, static_cast<__fp16>(x));
#else
      // Not _cvtss_sh, whose macro is not C++ in clang 14.
      auto const expected = static_cast<std::uint32_t>(_mm_cvtsi128_si32(_mm_cvtps_ph(_mm_set_ss(x), _MM_FROUND_TO_NEAREST_INT)));
#endif
      ASSERT_EQ(encode(x), expected & 0xFFFFu) << std::hexfloat << x;
    }
  });
}
#endif

}  // namespace
