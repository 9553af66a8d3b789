#include <moesaic/num/fma.hpp>

#include "oracle.hpp"

namespace {

using oracle::bits_or_nan;

static_assert(moesaic::fma(2.0f, 3.0f, 4.0f) == 10.0f);
static_assert(moesaic::fma(0x1.000002p0f, 0x1.000002p0f, -0x1.000004p0f) == 0x1p-46f);  // lost by two roundings
static_assert(moesaic::fma(0x1p-149f, 0x1p-149f, 1.0f) == 1.0f);
static_assert(moesaic::product(3.0f, 5.0f) == 15.0f);

void expect_std_fma(float a, float b, float c) {
  std::uint32_t const expected = bits_or_nan(std::fma(a, b, c));
  ASSERT_EQ(bits_or_nan(moesaic::detail::fma_software(a, b, c)), expected) << std::hexfloat << a << ' ' << b << ' ' << c;
  ASSERT_EQ(bits_or_nan(moesaic::fma(a, b, c)), expected) << std::hexfloat << a << ' ' << b << ' ' << c;
}

TEST(fma, agrees_with_std_fma_on_random_patterns) {
  oracle::random_bits random;
  for (int i = 0; i < 3000000 && !testing::Test::HasFatalFailure(); ++i)
    expect_std_fma(random.any_float(), random.any_float(), random.any_float());
}

// c within a few units of -a*b, or of half a unit of it: cancellation and ties, where a sum in double rounds twice.
TEST(fma, agrees_with_std_fma_where_the_sum_cancels_or_ties) {
  oracle::random_bits random;
  for (int i = 0; i < 1000000; ++i) {
    float const a = random.any_float(), b = random.any_float();
    auto const nudge = static_cast<std::uint32_t>(random() % 5) - 2u;
    auto const product = static_cast<float>(static_cast<double>(a) * b);
    expect_std_fma(a, b, -oracle::float_of(oracle::bits_of(product) + nudge));
    for (int exponent : {-25, -24, -23, 23, 24, 25, 26}) expect_std_fma(a, b, std::ldexp(product, exponent));
    if (testing::Test::HasFatalFailure()) return;
  }
}

// (1 + i) (1 - i) = 1 - i^2: half a unit of c, less so little that a double does not see it and the second rounding finds a tie.
TEST(fma, agrees_with_std_fma_where_two_roundings_would_differ) {
  oracle::random_bits random;
  int differ = 0;
  for (int n = 0; n < 100000 && !testing::Test::HasFatalFailure(); ++n) {
    float const i = static_cast<float>(random() % 300 + 1) * 0x1p-23f;
    auto const mantissa = static_cast<float>(random() >> 41);
    for (float sign : {1.0f, -1.0f}) {
      float const a = sign * (1.0f + i), b = 1.0f - i, c = 1.0f + mantissa * 0x1p-23f;
      expect_std_fma(a * 0x1p-12f, b * 0x1p-12f, c);
      expect_std_fma(a * 0x1p-12f, b * 0x1p-12f, -c);
      auto const in_double = static_cast<float>(static_cast<double>(a) * b * 0x1p-24 + c);
      differ += in_double != moesaic::fma(a * 0x1p-12f, b * 0x1p-12f, c);
      // the same between two denormals
      expect_std_fma(a * 0x1p-75f, b * 0x1p-75f, (0x1p22f + std::floor(mantissa / 2)) * 0x1p-149f);
    }
  }
  EXPECT_GT(differ, 10000);
}

TEST(fma, agrees_with_std_fma_where_the_result_is_denormal_or_overflows) {
  oracle::random_bits random;
  for (int i = 0; i < 1000000 && !testing::Test::HasFatalFailure(); ++i) {
    float const a = std::ldexp(1.0f + static_cast<float>(random() >> 41) * 0x1p-23f, -static_cast<int>(random() % 80));
    float const b = std::ldexp(1.0f + static_cast<float>(random() >> 41) * 0x1p-23f, -126 + static_cast<int>(random() % 60));
    float const c = oracle::float_of(static_cast<std::uint32_t>(random()) & 0x81FF'FFFFu);
    expect_std_fma(a, b, c);
    expect_std_fma(-a, b, c);
    expect_std_fma(std::ldexp(a, 100), std::ldexp(b, 150), oracle::float_of(oracle::bits_of(c) | 0x7E00'0000u));
  }
}

TEST(fma, agrees_with_std_fma_on_every_triple_of_special_values) {
  std::vector<float> const special = {
      0.0f, 0x1p-149f, 0x1.fffffcp-127f, 0x1p-126f, 0x1p-75f, 0x1p-74f,        0x1.fffffep-1f,   1.0f,
      1.5f, 0x1p23f,   0x1.fffffep23f,   0x1p64f,   0x1p127f, 0x1.fffffep127f, oracle::infinity, std::nanf("")};
  for (float a : special)
    for (float b : special)
      for (float c : special)
        for (int signs = 0; signs < 8; ++signs) expect_std_fma(signs & 1 ? -a : a, signs & 2 ? -b : b, signs & 4 ? -c : c);
}

TEST(fma, exact_zero_sums_have_the_sign_of_ieee) {
  EXPECT_EQ(oracle::bits_of(moesaic::detail::fma_software(1.0f, -1.0f, 1.0f)), 0u);
  EXPECT_EQ(oracle::bits_of(moesaic::detail::fma_software(-0.0f, 1.0f, -0.0f)), 0x8000'0000u);
}

TEST(product, is_the_rounded_product) {
  oracle::random_bits random;
  for (int i = 0; i < 1000000; ++i) {
    float const a = random.any_float(), b = random.any_float();
    ASSERT_EQ(bits_or_nan(moesaic::product(a, b)), bits_or_nan(a * b)) << std::hexfloat << a << ' ' << b;
  }
}

// Functions of their own: where the product had a second use, no compiler would contract it anyway.
[[gnu::noinline]] float product_plus(float a, float b, float c) { return moesaic::product(a, b) + c; }
[[gnu::noinline]] float minus_product(float a, float b, float c) { return c - moesaic::product(a, b); }

TEST(product, is_rounded_before_what_is_added_to_it) {
  oracle::random_bits random;
  for (int i = 0; i < 100000; ++i) {
    float const a = 1.0f + static_cast<float>(random() >> 41) * 0x1p-23f, b = 1.0f + static_cast<float>(random() >> 41) * 0x1p-23f;
    float volatile rounded = a * b;
    ASSERT_EQ(product_plus(a, b, -rounded), 0.0f) << std::hexfloat << a << ' ' << b;
    ASSERT_EQ(minus_product(a, b, rounded), 0.0f) << std::hexfloat << a << ' ' << b;
  }
}

}  // namespace
