// The bits of num/ over a fixed sweep, as one number a function. This file is compiled for this processor and for one without fma; both
// builds hold the same constants, so both compute the same bits. The loops are written to vectorise: vector code must agree too.
#include <moesaic/num/block_scale.hpp>
#include <moesaic/num/convert.hpp>
#include <moesaic/num/exp.hpp>

#include "oracle.hpp"

namespace {

template <class F>
std::uint64_t bits_over_a_sweep(F f) {
  constexpr std::uint32_t block = 4096, stride = 1021;  // 2^32 / 1021: four million floats
  std::vector<float> x(block);
  std::vector<std::uint32_t> y(block);
  oracle::hash sum;
  for (std::uint64_t start = 0; start < (std::uint64_t{1} << 32); start += std::uint64_t{block} * stride) {
    for (std::uint32_t i = 0; i < block; ++i) x[i] = oracle::float_of(static_cast<std::uint32_t>(start) + i * stride);
    float const* const in = x.data();
    std::uint32_t* const out = y.data();
    MOESAIC_SIMD
    for (std::uint32_t i = 0; i < block; ++i) out[i] = f(in[i]);
    for (std::uint32_t v : y) sum(v);
  }
  return sum.state;
}

std::uint32_t canonical(float x) { return moesaic::is_nan(x) ? moesaic::nan_bits : moesaic::to_bits(x); }

TEST(golden, fma) {
  EXPECT_EQ(bits_over_a_sweep([](float x) { return canonical(moesaic::fma(x, 0x1.6a09e6p0f, x * 0.5f)); }), 0x954b4770e8582968u);
  EXPECT_EQ(bits_over_a_sweep([](float x) { return canonical(moesaic::fma(x, x, -1.0f)); }), 0xf774a5065cb07ed9u);
  EXPECT_EQ(bits_over_a_sweep([](float x) { return canonical(moesaic::product(x, 0x1.6a09e6p0f) + 1.0f); }), 0x1bbfa7559f368440u);
}
TEST(golden, exp) {
  EXPECT_EQ(bits_over_a_sweep([](float x) { return moesaic::to_bits(moesaic::exp(x)); }), 0xf5e378ab8702ddd9u);
}
TEST(golden, log1p) {
  EXPECT_EQ(bits_over_a_sweep([](float x) { return moesaic::to_bits(moesaic::log1p(x)); }), 0xe928b3d5e4c2f5f5u);
}
TEST(golden, tanh) {
  EXPECT_EQ(bits_over_a_sweep([](float x) { return moesaic::to_bits(moesaic::tanh(x)); }), 0x0af86e7472a11fc5u);
}
TEST(golden, sigmoid) {
  EXPECT_EQ(bits_over_a_sweep([](float x) { return moesaic::to_bits(moesaic::sigmoid(x)); }), 0xbf9a32a35dd48fe2u);
}
TEST(golden, codecs) {
  EXPECT_EQ(bits_over_a_sweep([](float x) { return std::uint32_t{moesaic::to_bf16(x).bits}; }), 0x020f38da97c7408bu);
  EXPECT_EQ(bits_over_a_sweep([](float x) { return std::uint32_t{moesaic::to_fp16(x).bits}; }), 0x9b31b035b7b06ddbu);
  EXPECT_EQ(bits_over_a_sweep([](float x) { return std::uint32_t{moesaic::to_e4m3(x)}; }), 0x1fc01fbe318e98b2u);
  EXPECT_EQ(bits_over_a_sweep([](float x) { return moesaic::to_bits(moesaic::to_float(moesaic::to_fp16(x))); }), 0xfb25e6c7f90a574fu);
}
TEST(golden, block_scale) {
  EXPECT_EQ(bits_over_a_sweep([](float x) { return moesaic::to_bits(moesaic::block_scale(x)); }), 0x98164b80b31c0143u);
  EXPECT_EQ(bits_over_a_sweep([](float x) { return std::uint32_t{moesaic::block_scale_e8m0(x)}; }), 0x35da2daaf3ba07c4u);
  EXPECT_EQ(bits_over_a_sweep([](float x) { return std::uint32_t{moesaic::quantize_e4m3(x, 0x1.6a09e6p-3f)}; }), 0x4a2c67aa83c8372eu);
}

}  // namespace
