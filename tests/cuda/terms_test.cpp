// Every E4M3 code and many fp32 numbers as sums of bf16.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <moesaic/cuda/gemm/bf16_terms.hpp>
#include <moesaic/num/e4m3.hpp>
#include <random>

namespace {

using namespace moesaic::cuda;
using moesaic::from_bits;
using moesaic::to_bits;

// What the kernels do with e4m3_fields: the product with 2^120, which fp32 can do as exactly as bf16, and the mask.
std::uint32_t bf16_of(std::uint32_t half) { return (to_bits(from_bits(half << 16) * 0x1p120F) >> 16 | e4m3_nan_mask(half)) & 0xFFFFU; }

TEST(e4m3_as_bf16, is_exact_for_every_code_in_either_half) {
  for (std::uint32_t code = 0; code < 256; ++code) {
    float const right = moesaic::e4m3_to_float(static_cast<std::uint8_t>(code));
    std::uint32_t const low = e4m3_fields(code << 8), high = e4m3_fields(code << 24);
    EXPECT_EQ(low << 16, high);
    for (std::uint32_t const other : {0x00U, 0x7FU, 0x80U, 0xFFU}) {  // the neighbour does not matter
      std::uint32_t const mask = e4m3_nan_mask(e4m3_fields(code << 8 | other << 24));
      EXPECT_EQ(mask & 0xFFFFU, (code & 0x7FU) == 0x7FU ? 0x7F80U : 0U);
      EXPECT_EQ(mask >> 16, (other & 0x7FU) == 0x7FU ? 0x7F80U : 0U);
    }
    if (std::isnan(right))
      EXPECT_TRUE(std::isnan(from_bits(bf16_of(low) << 16))) << code;
    else
      EXPECT_EQ(bf16_of(low) << 16, to_bits(right)) << code;
  }
}

void expect_three_terms(float x) {
  float const x1 = behind_first_term(x), x2 = behind_first_term(x1);
  std::uint32_t const pair = upper_halves(to_bits(x), to_bits(x1));
  double const first = static_cast<double>(from_bits(pair << 16)), second = static_cast<double>(from_bits(pair & 0xFFFF'0000U));
  double const third = static_cast<double>(from_bits(to_bits(x2) & 0xFFFF'0000U));
  ASSERT_EQ(first + second + third, static_cast<double>(x)) << x;
}

TEST(fp32_as_bf16, is_exact_in_three_terms) {
  std::mt19937 random(671);
  for (int i = 0; i < 2'000'000; ++i) {
    float const x = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
    if (!std::isfinite(x) || std::fabs(x) < 0x1p-100F) continue;
    ASSERT_NO_FATAL_FAILURE(expect_three_terms(x));
  }
  expect_three_terms(3.4028235e38F);
  expect_three_terms(0.0F);
  EXPECT_EQ(behind_first_term(INFINITY), 0.0F);
  EXPECT_EQ(behind_first_term(-INFINITY), 0.0F);
  EXPECT_TRUE(std::isnan(behind_first_term(from_bits(0x7F80'0001U))));  // a NaN whose upper half is infinity
  EXPECT_EQ(to_bits(behind_first_term(-0.0F)), 0U);
}

}  // namespace
