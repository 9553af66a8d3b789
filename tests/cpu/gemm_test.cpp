// What is the CPU kernel's own: its packed layout, its decode, and that no tile shape shows in the bits.
#include <gtest/gtest.h>

#include <cstring>
#include <moesaic/cpu/gemm.hpp>
#include <random>
#include <vector>

namespace {

using namespace moesaic;
constexpr auto fp8 = weight_format::e4m3_128x128;

TEST(cpu_decode, gives_the_value_of_every_finite_code) {
  alignas(64) std::uint8_t code[256];
  alignas(64) float value[256];
  for (int i = 0; i < 256; ++i) code[i] = static_cast<std::uint8_t>(i);
  cpu::detail::decode<fp8>(code, value, 256);
  for (int i = 0; i < 256; ++i)
    if ((i & 0x7f) != 0x7f) {
      EXPECT_EQ(to_bits(value[i]), to_bits(e4m3_to_float(code[i]))) << i;
    }
  EXPECT_EQ(value[0x7f], 480.0F);
  EXPECT_EQ(value[0xff], -480.0F);
}

struct packed {
  weight_matrices<fp8> source;
  std::vector<std::uint8_t> codes;
  std::vector<float> scales;
  std::vector<std::uint8_t> packed_codes;
  std::vector<float> packed_scales;
  cpu::packed_matrices<fp8> to;

  packed(int experts, std::int64_t n, std::int64_t k, unsigned seed) {
    std::mt19937 random(seed);
    std::int64_t const grid = ceil_div(n, 128) * ceil_div(k, 128);
    codes.resize(static_cast<std::size_t>(experts * n * k));
    scales.resize(static_cast<std::size_t>(experts * grid));
    for (auto& c : codes) c = static_cast<std::uint8_t>(random() % 0x7f);
    for (auto& s : scales) s = static_cast<float>(1 + random() % 100) * 1e-3F;
    source = {experts, n, k, {codes.data(), n * k}, {scales.data(), grid}};
    to = {experts, n, k};
    packed_codes.resize(to.code_bytes());
    packed_scales.resize(to.scale_bytes() / sizeof(float));
    to.codes = packed_codes.data();
    to.scales = packed_scales.data();
    cpu::serial_pool threads;
    cpu::pack(threads, source, to);
  }
};

TEST(cpu_pack, strips_hold_32_rows_column_by_column_and_pad_with_zero) {
  packed const p(2, 72, 40, 1);
  for (int e = 0; e < 2; ++e)
    for (std::int64_t s = 0; s < 3; ++s)
      for (std::int64_t c = 0; c < 40; ++c)
        for (std::int64_t r = 0; r < 32; ++r) {
          std::int64_t const row = s * 32 + r;
          std::uint8_t const expected = row < 72 ? p.source.codes[e][row * 40 + c] : std::uint8_t{0};
          ASSERT_EQ(p.to.strip_codes(e, s)[c * 32 + r], expected);
        }
}

template <tune::cpu_gemm_policy Policy>
std::vector<float> multiply(packed const& p, std::vector<float> const& a, std::vector<std::int32_t> const& offsets) {
  std::int64_t const rows = offsets.back();
  std::vector<float> out(static_cast<std::size_t>(rows * p.to.n), -1.0F);
  cpu::serial_pool threads;
  cpu::grouped_gemm<Policy>(threads, gemm_input{f32_rows(a.data(), rows, p.to.k)}, p.to, offsets.data(),
                            matrix_view<float>(out.data(), rows, p.to.n));
  return out;
}

TEST(cpu_gemm, no_tile_shape_shows_in_the_bits) {
  packed const p(3, 200, 300, 2);
  std::vector<std::int32_t> const offsets{0, 13, 13, 70};
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  std::vector<float> a(70 * 300);
  for (float& x : a) x = normal(random);
  auto const one = multiply<tune::cpu_gemm_policy{.rows = 1, .panel_rows = 48}>(p, a, offsets);
  EXPECT_EQ(one, (multiply<tune::cpu_gemm_policy{.rows = 3, .panel_rows = 48}>(p, a, offsets)));
  EXPECT_EQ(one, (multiply<tune::cpu_gemm_policy{.rows = 8, .panel_rows = 48}>(p, a, offsets)));
  EXPECT_EQ(one, (multiply<tune::cpu_gemm_policy{.rows = 8, .panel_rows = 8}>(p, a, offsets)));
}

}  // namespace
