#include <moesaic/num/convert.hpp>

#include "oracle.hpp"

namespace {

static_assert(moesaic::from_float<float>(1.5f) == 1.5f && moesaic::to_float(1.5f) == 1.5f);
static_assert(moesaic::from_float<moesaic::bf16>(1.5f).bits == moesaic::to_bf16(1.5f).bits);
static_assert(moesaic::from_float<moesaic::fp16>(1.5f).bits == moesaic::to_fp16(1.5f).bits);

template <class T>
concept is_an_element = requires(float x) {
  moesaic::from_float<T>(x);
};
static_assert(is_an_element<float> && is_an_element<moesaic::bf16> && is_an_element<moesaic::fp16> && !is_an_element<double> &&
              !is_an_element<int>);

TEST(convert, float_is_the_identity_bit_for_bit) {
  oracle::for_floats(4099, [](float x) {
    ASSERT_EQ(oracle::bits_of(moesaic::to_float(x)), oracle::bits_of(x));
    ASSERT_EQ(oracle::bits_of(moesaic::from_float<float>(x)), oracle::bits_of(x));
  });
}

TEST(convert, from_float_is_the_encoder_of_its_type) {
  oracle::for_floats(4099, [](float x) {
    ASSERT_EQ(moesaic::from_float<moesaic::bf16>(x).bits, moesaic::to_bf16(x).bits);
    ASSERT_EQ(moesaic::from_float<moesaic::fp16>(x).bits, moesaic::to_fp16(x).bits);
  });
}

}  // namespace
