// What a tensor map may describe, checked where there is no driver to refuse it.
#pragma once

#include <moesaic/cuda/tensor_map.hpp>

namespace conformance {

constexpr moesaic::cuda::boxed_matrix good_map{nullptr, 1000, 7168, 7168, 1, 128, 128, true};
constexpr moesaic::cuda::boxed_matrix with(moesaic::cuda::boxed_matrix m, int moesaic::cuda::boxed_matrix::*member, int value) {
  m.*member = value;
  return m;
}
static_assert(moesaic::cuda::check_boxed("a", good_map).code == moesaic::errc::ok);
static_assert(moesaic::cuda::check_boxed("a", {nullptr, 0, 7168, 7168, 1, 128, 128, true}).code == moesaic::errc::out_of_range);
static_assert(moesaic::cuda::check_boxed("a", {nullptr, 1000, 7168, 7169, 1, 128, 128, true}).code == moesaic::errc::misaligned);
static_assert(moesaic::cuda::check_boxed("a", with(good_map, &moesaic::cuda::boxed_matrix::box_rows, 257)).code ==
              moesaic::errc::out_of_range);
static_assert(moesaic::cuda::check_boxed("a", with(good_map, &moesaic::cuda::boxed_matrix::box_cols, 64)).code ==
              moesaic::errc::shape_mismatch);
static_assert(moesaic::cuda::check_boxed("a", with(good_map, &moesaic::cuda::boxed_matrix::box_cols, 120)).code ==
              moesaic::errc::misaligned);

// Codes that TMA cannot read are refused before a driver is asked.
TEST(prepare, names_codes_that_are_not_16_byte_aligned) {
  alignas(16) static std::uint8_t codes[128 * 128 + 16] = {};
  moesaic::weight_matrices<moesaic::weight_format::e4m3_128x128> w{1, 128, 128, {codes + 1, 128 * 128}, {}};
  moesaic::cuda::sm90::weight_operand operand;
  moesaic::status const s = moesaic::cuda::sm90::make_weight_operand(w, nullptr, operand);
  EXPECT_EQ(s.code, moesaic::errc::misaligned);
  EXPECT_STREQ(s.argument, "weights.codes");
  EXPECT_EQ(s.value, 1);
}

}  // namespace conformance
