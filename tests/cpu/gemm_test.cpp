// What is the CPU kernels' own: what each engine decodes from a packed group.
#include <gtest/gtest.h>

#include <moesaic/cpu/gemm.hpp>

#include "packed.hpp"

namespace {

using namespace moesaic;

/// A group's 64 codes in reading order → their values in the order [column][row].
template <class E>
std::vector<float> decoded(std::uint8_t const* code) {
  alignas(64) typename E::weight w[E::weights];
  E::load(code, w);
  // Columns are told apart by multiplying one of them by 1 and the others by 0.
  std::vector<float> value(cpu::group_elements);
  for (int column = 0; column < cpu::group_columns; ++column) {
    typename E::element a[cpu::group_columns] = {};
    a[column] = from_float<typename E::element>(1.0F);
    typename E::sum sum[E::sums] = {};
    for (int i = 0; i < E::weights; ++i) E::multiply_add(E::multiplier(a, i / (E::weights / E::steps)), w[i], sum[i % E::sums]);
    cpu::detail::vec total[E::totals] = {};
    E::promote(sum, cpu::detail::broadcast(E::unit), total);
    alignas(64) float out[cpu::strip];
    E::finish(total, out);
    for (int n = 0; n < cpu::strip; ++n) value[static_cast<std::size_t>(column * cpu::strip + n)] = out[n];
  }
  return value;
}

template <class E>
struct cpu_decode : testing::Test {
  static void expect_every_code_decoded() {
    expect_decoded([](int) { return true; });
    expect_decoded([](int c) { return c / 8 % 16 != 0; });  // no zero and no subnormal number: engines may decode such groups otherwise
  }
  template <class Wanted>
  static void expect_decoded(Wanted const& wanted) {
    int codes[512], count = 0;
    for (int c = 0; count % 64 != 0 || c < 256; ++c)
      if (wanted(c % 256)) codes[count++] = c % 256;
    for (int first = 0; first < count; first += 64) {
      auto const at = [&](int n, int j) { return codes[first + n * 4 + j]; };
      alignas(64) std::uint8_t code[64];
      for (int n = 0; n < cpu::strip; ++n)
        for (int j = 0; j < cpu::group_columns; ++j) code[cpu::place_in_group<fp8>(n, j)] = static_cast<std::uint8_t>(at(n, j));
      std::vector<float> const value = decoded<E>(code);
      for (int n = 0; n < cpu::strip; ++n)
        for (int j = 0; j < cpu::group_columns; ++j) {
          int const c = at(n, j);
          float const right = c == 0x7f ? 480.0F : c == 0xff ? -480.0F : e4m3_to_float(static_cast<std::uint8_t>(c));
          EXPECT_EQ(value[static_cast<std::size_t>(j * cpu::strip + n)], right) << c;
        }
    }
  }
};
using engines = testing::Types<cpu::detail::fp32_exact<fp8>
#if defined(__AVX512FP16__) || defined(__ARM_FEATURE_FP16_VECTOR_ARITHMETIC)
                               ,
                               cpu::detail::fp16_chunked<64>
#endif
#if defined(__AVX512BF16__) && defined(__AVX512BW__)
                               ,
                               cpu::detail::bf16_dot<fp8>
#endif
                               >;
TYPED_TEST_SUITE(cpu_decode, engines);

TYPED_TEST(cpu_decode, gives_the_value_of_every_finite_code_at_its_place) { this->expect_every_code_decoded(); }

// Denormal results and denormal operands are zero. Arm has a bit of its own for fp16, which engines leave alone.
#if defined(__x86_64__)
TYPED_TEST(cpu_decode, gives_the_same_where_an_engine_has_set_flush_to_zero) {
  unsigned const before = __builtin_ia32_stmxcsr();
  __builtin_ia32_ldmxcsr(before | 0x8040U);
  this->expect_every_code_decoded();
  __builtin_ia32_ldmxcsr(before);
}
#elif defined(__aarch64__)
TYPED_TEST(cpu_decode, gives_the_same_where_an_engine_has_set_flush_to_zero) {
  std::uint64_t before;
  __asm__ volatile("mrs %0, fpcr" : "=r"(before));
  __asm__ volatile("msr fpcr, %0" ::"r"(before | 0x1000000U) : "memory");
  this->expect_every_code_decoded();
  __asm__ volatile("msr fpcr, %0" ::"r"(before) : "memory");
}
#endif

}  // namespace
