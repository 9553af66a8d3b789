#include <moesaic/num/exp.hpp>

#include "oracle.hpp"

#include <cstdio>

namespace {

using oracle::bits_of;
using oracle::infinity;

constexpr float nan = moesaic::from_bits(moesaic::nan_bits);
constexpr float inf = moesaic::from_bits(moesaic::inf_bits);

static_assert(moesaic::exp(0.0f) == 1.0f && moesaic::exp(inf) == inf && moesaic::exp(-inf) == 0.0f && moesaic::is_nan(moesaic::exp(nan)));
static_assert(moesaic::log1p(0.0f) == 0.0f && moesaic::log1p(inf) == inf && moesaic::log1p(-1.0f) == -inf &&
              moesaic::is_nan(moesaic::log1p(-2.0f)));
static_assert(moesaic::tanh(0.0f) == 0.0f && moesaic::tanh(inf) == 1.0f && moesaic::tanh(-inf) == -1.0f &&
              moesaic::is_nan(moesaic::tanh(nan)));
static_assert(moesaic::sigmoid(0.0f) == 0.5f && moesaic::sigmoid(inf) == 1.0f && moesaic::sigmoid(-inf) == 0.0f);
static_assert(moesaic::is_nan(moesaic::sigmoid(nan)) && moesaic::is_nan(moesaic::log1p(nan)));

template <class Real>
Real exact_sigmoid(Real x) {
  Real const e = std::exp(-std::fabs(x));
  return (x < 0 ? e : Real{1}) / (1 + e);
}

// The largest error over the sweep: against libm's long double, or, where there are 2^32 points, its double (good to 2^-28 of our unit).
template <class F, class Exact>
void expect_within(char const* name, double bound, F f, Exact exact) {
  double worst = 0;
  float at = 0;
  bool const all = oracle::exhaustive();
  oracle::for_floats(641, [&](float x) {
    if (std::isnan(x)) return;
    float const y = f(x);
    double const error =
        all ? oracle::ulp_error(y, exact(static_cast<double>(x))) : oracle::ulp_error(y, exact(static_cast<long double>(x)));
    if (!(error <= worst)) worst = error, at = x;
  });
  std::printf("%-8s %.4f ulp at %a\n", name, worst, static_cast<double>(at));
  EXPECT_LE(worst, bound) << name << " at " << std::hexfloat << at;
}

TEST(exp, is_within_two_ulp) {
  expect_within(
      "exp", 0.78, [](float x) { return moesaic::exp(x); }, [](auto x) { return std::exp(x); });
}
TEST(log1p, is_within_two_ulp) {
  // Below -1 the exact answer is no number; see the limits below.
  expect_within(
      "log1p", 1.3, [](float x) { return x < -1.0f ? 0.0f : moesaic::log1p(x); },
      [](auto x) { return x < -1 ? decltype(x){0} : std::log1p(x); });
}
TEST(tanh, is_within_two_ulp) {
  expect_within(
      "tanh", 1.4, [](float x) { return moesaic::tanh(x); }, [](auto x) { return std::tanh(x); });
}
TEST(sigmoid, is_within_two_ulp) {
  expect_within(
      "sigmoid", 1.5, [](float x) { return moesaic::sigmoid(x); }, [](auto x) { return exact_sigmoid(x); });
}

TEST(softplus, is_within_two_ulp) {
  expect_within(
      "softplus", 1.6, [](float x) { return moesaic::softplus(x); },
      [](auto x) { return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)); });
}
TEST(normal_cdf, is_within_a_few_ulp) {
  expect_within(
      "normal", 4.1, [](float x) { return moesaic::normal_cdf(x); },
      [](auto x) { return std::erfc(-x * static_cast<decltype(x)>(0.707106781186547524400844362104849039L)) / 2; });
}

TEST(exp, every_nan_gives_the_canonical_one) {
  for (std::uint32_t u : {0x7F80'0001u, 0x7FBF'FFFFu, 0x7FC0'0001u, 0xFF80'0001u, 0xFFC0'0000u, 0xFFFF'FFFFu}) {
    float const x = oracle::float_of(u);
    EXPECT_EQ(bits_of(moesaic::exp(x)), moesaic::nan_bits);
    EXPECT_EQ(bits_of(moesaic::log1p(x)), moesaic::nan_bits);
    EXPECT_EQ(bits_of(moesaic::tanh(x)), moesaic::nan_bits);
    EXPECT_EQ(bits_of(moesaic::sigmoid(x)), moesaic::nan_bits);
    EXPECT_TRUE(moesaic::is_nan(moesaic::softplus(x)));
    EXPECT_EQ(bits_of(moesaic::normal_cdf(x)), moesaic::nan_bits);
  }
}

TEST(exp, has_its_limits) {
  EXPECT_EQ(moesaic::exp(infinity), infinity);
  EXPECT_EQ(bits_of(moesaic::exp(-infinity)), 0u);
  EXPECT_EQ(bits_of(moesaic::exp(-1e30f)), 0u);
  EXPECT_EQ(moesaic::exp(1e30f), infinity);
  EXPECT_LT(moesaic::exp(0x1.62e42ep+6f), infinity);
  EXPECT_EQ(moesaic::exp(0x1.62e430p+6f), infinity);
  EXPECT_EQ(moesaic::exp(-0.0f), 1.0f);
  EXPECT_EQ(bits_of(moesaic::exp(-103.97f)), 1u);  // the smallest denormal
}

TEST(exp, denormal_results_are_not_flushed) {
  for (float x = -87.5f; x > -103.9f; x -= 0.01f)
    EXPECT_LE(oracle::ulp_error(moesaic::exp(x), std::exp(static_cast<long double>(x))), 0.78) << x;
}

TEST(log1p, has_its_limits) {
  EXPECT_EQ(moesaic::log1p(infinity), infinity);
  EXPECT_EQ(moesaic::log1p(-1.0f), -infinity);
  EXPECT_EQ(bits_of(moesaic::log1p(-0.0f)), 0x8000'0000u);
  EXPECT_EQ(bits_of(moesaic::log1p(0.0f)), 0u);
  EXPECT_EQ(bits_of(moesaic::log1p(0x1p-149f)), 1u);
  for (float x : {std::nextafter(-1.0f, -2.0f), -1.5f, -1e30f, -infinity}) EXPECT_EQ(bits_of(moesaic::log1p(x)), moesaic::nan_bits) << x;
}

TEST(tanh, has_its_limits_and_is_odd_bit_for_bit) {
  EXPECT_EQ(moesaic::tanh(infinity), 1.0f);
  EXPECT_EQ(moesaic::tanh(-infinity), -1.0f);
  EXPECT_EQ(bits_of(moesaic::tanh(-0.0f)), 0x8000'0000u);
  EXPECT_EQ(bits_of(moesaic::tanh(0x1p-149f)), 1u);
  oracle::for_floats(65537, [](float x) {
    if (!std::isnan(x)) {
      ASSERT_EQ(bits_of(moesaic::tanh(-x)), bits_of(moesaic::tanh(x)) ^ 0x8000'0000u) << std::hexfloat << x;
    }
  });
}

TEST(sigmoid, has_its_limits_and_is_relatively_accurate_where_it_is_tiny) {
  EXPECT_EQ(moesaic::sigmoid(infinity), 1.0f);
  EXPECT_EQ(bits_of(moesaic::sigmoid(-infinity)), 0u);
  EXPECT_EQ(moesaic::sigmoid(-0.0f), 0.5f);
  for (float x : {-10.0f, -20.0f, -80.0f, -87.0f, -90.0f, -100.0f, -103.0f})
    EXPECT_LE(oracle::ulp_error(moesaic::sigmoid(x), exact_sigmoid(static_cast<long double>(x))), 1.5) << x;
}

TEST(softplus, has_its_limits) {
  EXPECT_EQ(moesaic::softplus(infinity), infinity);
  EXPECT_EQ(bits_of(moesaic::softplus(-infinity)), 0u);
  EXPECT_EQ(moesaic::softplus(0.0f), 0x1.62e430p-1f);
  EXPECT_EQ(moesaic::softplus(1e30f), 1e30f);
}

TEST(normal_cdf, has_its_limits) {
  EXPECT_EQ(moesaic::normal_cdf(infinity), 1.0f);
  EXPECT_EQ(bits_of(moesaic::normal_cdf(-infinity)), 0u);
  EXPECT_EQ(moesaic::normal_cdf(0.0f), 0.5f);
  EXPECT_EQ(moesaic::normal_cdf(-0.0f), 0.5f);
}

// The instruction and the constant evaluation that stands in for it.
template <std::uint32_t... Bits>
void expect_same_roots() {
  static constexpr float constant[] = {moesaic::detail::square_root(moesaic::from_bits(Bits))...};
  float const run[] = {moesaic::detail::square_root(oracle::float_of(Bits))...};
  for (std::size_t i = 0; i < sizeof...(Bits); ++i) EXPECT_EQ(bits_of(constant[i]), bits_of(run[i])) << i;
}
TEST(square_root, is_correctly_rounded_also_in_constant_evaluation) {
  expect_same_roots<0u, 0x8000'0000u, 1u, 0x007F'FFFFu, 0x3F80'0000u, 0x3F80'0001u, 0x4049'0FDBu, 0x7F7F'FFFFu, 0x7F80'0000u,
                    0x0000'0123u>();
  EXPECT_TRUE(moesaic::is_nan(moesaic::detail::square_root(-1.0f)));
  oracle::for_floats(641, [](float x) {
    if (x >= 0.0f) {
      ASSERT_EQ(bits_of(moesaic::detail::square_root(x)), bits_of(static_cast<float>(std::sqrt(static_cast<double>(x))))) << x;
    }
  });
}

// Between neighbours an error below one unit may still step back by one; it must not where a clamp or another formula takes over.
template <class F>
void expect_monotone_around(float x, F f) {
  std::uint32_t const centre = bits_of(x);
  for (std::uint32_t u = centre - 20; u < centre + 20; ++u) {
    float const low = std::min(oracle::float_of(u), oracle::float_of(u + 1)), high = std::max(oracle::float_of(u), oracle::float_of(u + 1));
    EXPECT_LE(f(low), f(high)) << std::hexfloat << low;
  }
}

TEST(exp, clamps_are_monotone) {
  for (float x : {0x1.62e42ep+6f, 88.0f, -104.0f, -103.97208f, -87.33655f})
    expect_monotone_around(x, [](float v) { return moesaic::exp(v); });
  for (float x : {10.0f, -10.0f, 9.01f, 0.625f, -0.625f}) expect_monotone_around(x, [](float v) { return moesaic::tanh(v); });
  for (float x : {104.0f, -104.0f, -103.97208f, 17.0f}) expect_monotone_around(x, [](float v) { return moesaic::sigmoid(v); });
}

}  // namespace
