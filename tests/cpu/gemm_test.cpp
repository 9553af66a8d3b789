// What is the CPU kernel's own: its packed layout, its decode, and that no tile shape shows in the bits.
#include <gtest/gtest.h>

#include <cstring>
#include <moesaic/cpu/gemm.hpp>
#include <random>
#include <vector>

namespace {

using namespace moesaic;
constexpr auto fp8 = weight_format::e4m3_128x128;

/// A group's 64 codes in reading order → their values in the order [column][row].
std::vector<float> decoded(std::uint8_t const* code) {
  using decoder = cpu::detail::group_decoder<fp8>;
  alignas(64) cpu::detail::vec w[cpu::detail::group_vectors];
  decoder::load(code, w);
  // Columns are told apart by multiplying one of them by 1 and the others by 0.
  std::vector<float> value;
  for (int column = 0; column < cpu::group_columns; ++column) {
    float a[cpu::group_columns] = {};
    a[column] = 1.0F;
    cpu::detail::vec sum[cpu::detail::strip_sums] = {};
    for (int i = 0; i < cpu::detail::group_vectors; ++i) sum[i % cpu::detail::strip_sums] += decoder::multiplier(a, i) * w[i];
    alignas(64) float out[cpu::strip];
    decoder::finish(sum, out);
    for (float const x : out) value.push_back(x * decoder::unit);
  }
  return value;
}

void expect_every_code_decoded() {
  for (int first = 0; first < 256; first += 64) {
    alignas(64) std::uint8_t code[64];
    for (int n = 0; n < cpu::strip; ++n)
      for (int j = 0; j < cpu::group_columns; ++j) code[cpu::place_in_group<fp8>(n, j)] = static_cast<std::uint8_t>(first + n * 4 + j);
    std::vector<float> const value = decoded(code);
    for (int n = 0; n < cpu::strip; ++n)
      for (int j = 0; j < cpu::group_columns; ++j) {
        int const c = first + n * 4 + j;
        float const right = c == 0x7f ? 480.0F : c == 0xff ? -480.0F : e4m3_to_float(static_cast<std::uint8_t>(c));
        EXPECT_EQ(value[static_cast<std::size_t>(j * cpu::strip + n)], right) << c;
      }
  }
}

TEST(cpu_decode, gives_the_value_of_every_finite_code_at_its_place) { expect_every_code_decoded(); }

// Denormal results and denormal operands are zero. Arm has a bit of its own for fp16, which engines leave alone.
#if defined(__x86_64__)
TEST(cpu_decode, gives_the_same_where_an_engine_has_set_flush_to_zero) {
  unsigned const before = __builtin_ia32_stmxcsr();
  __builtin_ia32_ldmxcsr(before | 0x8040U);
  expect_every_code_decoded();
  __builtin_ia32_ldmxcsr(before);
}
#elif defined(__aarch64__)
TEST(cpu_decode, gives_the_same_where_an_engine_has_set_flush_to_zero) {
  std::uint64_t before;
  __asm__ volatile("mrs %0, fpcr" : "=r"(before));
  __asm__ volatile("msr fpcr, %0" ::"r"(before | 0x1000000U) : "memory");
  expect_every_code_decoded();
  __asm__ volatile("msr fpcr, %0" ::"r"(before) : "memory");
}
#endif

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
    packed_codes.resize(to.code_bytes() + 64);
    packed_scales.resize(to.scale_bytes() / sizeof(float));
    to.codes = packed_codes.data() + (64 - reinterpret_cast<std::uintptr_t>(packed_codes.data()) % 64) % 64;
    to.scales = packed_scales.data();
    cpu::serial_pool threads;
    cpu::pack(threads, source, to);
  }
};

TEST(cpu_pack, strips_hold_16_rows_in_groups_of_four_columns_and_pad_with_zero) {
  packed const p(2, 72, 42, 1);
  for (int e = 0; e < 2; ++e)
    for (std::int64_t r = 0; r < 80; ++r)
      for (std::int64_t c = 0; c < 44; ++c) {
        std::uint8_t const expected = r < 72 && c < 42 ? p.source.codes[e][r * 42 + c] : std::uint8_t{0};
        std::uint8_t const* const group = p.to.strip_codes(e, r / 16) + c / 4 * 64;
        ASSERT_EQ(group[cpu::place_in_group<fp8>(static_cast<int>(r % 16), static_cast<int>(c % 4))], expected) << r << ", " << c;
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
  using policy = tune::cpu_gemm_policy;
  auto const one = multiply<policy{.sums = 4, .skinny_rows = 1, .panel_tile = 1, .panel_rows = 48, .prefetch_groups = 16}>(p, a, offsets);
  EXPECT_EQ(one, (multiply<tune::select(tune::native_registers)>(p, a, offsets)));
  EXPECT_EQ(one, (multiply<policy{.sums = 16, .skinny_rows = 6, .panel_tile = 4, .panel_rows = 8, .prefetch_groups = 32}>(p, a, offsets)));
  EXPECT_EQ(one, (multiply<policy{.sums = 8, .skinny_rows = 0, .panel_tile = 3, .panel_rows = 48, .prefetch_groups = 16}>(p, a, offsets)));
  EXPECT_EQ(one,
            (multiply<policy{.sums = 24, .skinny_rows = 13, .panel_tile = 5, .panel_rows = 13, .prefetch_groups = 16}>(p, a, offsets)));
}

// The arithmetic of the kernel, element by element: what every instruction set with fma must give.
TEST(cpu_gemm, adds_even_and_odd_columns_by_fma_block_by_block) {
  packed const p(1, 40, 300, 3);
  std::mt19937 random(6);
  std::normal_distribution<float> normal;
  std::vector<float> a(9 * 300);
  for (float& x : a) x = normal(random);
  auto const out = multiply<tune::select(tune::native_registers)>(p, a, {0, 9});
  for (std::size_t r = 0; r < 9; ++r)
    for (std::size_t n = 0; n < 40; ++n) {
      float sum[2] = {};
      for (std::size_t b = 0; b < 3; ++b) {
        float block[2] = {};
        for (std::size_t k = b * 128; k < 300 && k < (b + 1) * 128; ++k)
          block[k % 2] = multiply_add(a[r * 300 + k], e4m3_to_float(p.codes[n * 300 + k]), block[k % 2]);
        for (int odd = 0; odd < 2; ++odd) sum[odd] = multiply_add(block[odd], p.scales[b], sum[odd]);
      }
      ASSERT_EQ(out[r * 40 + n], sum[0] + sum[1]) << r << ", " << n;
    }
}

}  // namespace
