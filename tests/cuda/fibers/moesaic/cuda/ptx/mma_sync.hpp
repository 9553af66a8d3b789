// The stand-in for the header of the same name: the last lane to come multiplies for all. Products and their sum are exact here, and then
// cut to 24 bits, which is no better than what the hardware does with bf16. With E4M3 it is: e4m3_fraction_bits.
#pragma once

#include <cuda_runtime_api.h>

#include <cmath>
#include <cstdint>

#include <moesaic/core/macros.hpp>
#include <moesaic/num/e4m3.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::ptx {

/// Of a sum of E4M3 products, as the hardware keeps them: every term is cut so many bits behind the leading one of the largest. Many: the
/// sum is exact, so that nothing hides an error in what is multiplied by what.
inline int e4m3_fraction_bits = 1000;

namespace detail {

/// What a word of operands holds, and what becomes of the `Count` terms of each of eight columns.
struct bf16_pair {
  static constexpr int deep = 2;
  static double value(std::uint32_t word, int which) {
    return static_cast<double>(__builtin_bit_cast(float, which == 0 ? word << 16 : word & 0xFFFF'0000U));
  }
  template <int Count>
  static void add(double const (&term)[Count][8], double (&sum)[8]) {
    for (int i = 0; i < Count; ++i)
      for (int c = 0; c < 8; ++c) sum[c] += term[i][c];
  }
};
struct e4m3_four {
  static constexpr int deep = 4;
  static double value(std::uint32_t word, int which) {
    return static_cast<double>(e4m3_to_float(static_cast<std::uint8_t>(word >> 8 * which)));
  }
  template <int Count>
  static void add(double const (&term)[Count][8], double (&sum)[8]) {
    if (e4m3_fraction_bits >= 53) return bf16_pair::add(term, sum);
    for (int c = 0; c < 8; ++c) {
      double most = 0.0;
      for (int i = 0; i < Count; ++i) most = std::fabs(term[i][c]) > most ? std::fabs(term[i][c]) : most;
      bool const is_cut = most > 0.0 && std::isfinite(most);
      double const unit = is_cut ? std::ldexp(1.0, std::ilogb(most) - e4m3_fraction_bits) : 1.0;
      for (int i = 0; i < Count; ++i) sum[c] += is_cut ? std::trunc(term[i][c] / unit) * unit : term[i][c];
    }
  }
};

inline float cut(double x) {
  auto const f = static_cast<float>(x);
  if (!std::isfinite(f) || std::fabs(static_cast<double>(f)) <= std::fabs(x)) return f;
  return __builtin_bit_cast(float, __builtin_bit_cast(std::uint32_t, f) - 1);  // towards zero
}

struct operands {
  std::uint32_t a[4], b[2];
  float d[4];
};

/// d += a · b, all 16 × 8 of it.
template <class Word>
void multiply_all(operands (&of)[32]) {
  constexpr int half = 4 * Word::deep, terms = 2 * half + 1;
  double a[16][2 * half], b[2 * half][8], d[16][8];
  for (int l = 0; l < 32; ++l) {
    int const g = l / 4, q = l % 4;
    for (int i = 0; i < 4; ++i) {
      for (int w = 0; w < Word::deep; ++w) a[g + i % 2 * 8][i / 2 * half + q * Word::deep + w] = Word::value(of[l].a[i], w);
      d[g + i / 2 * 8][2 * q + i % 2] = static_cast<double>(of[l].d[i]);
    }
    for (int i = 0; i < 2; ++i)
      for (int w = 0; w < Word::deep; ++w) b[i * half + q * Word::deep + w][g] = Word::value(of[l].b[i], w);
  }
  for (int row = 0; row < 16; ++row) {
    double term[terms][8], sum[8] = {};
    for (int k = 0; k < 2 * half; ++k)
      for (int c = 0; c < 8; ++c) term[k][c] = a[row][k] * b[k][c];
    for (int c = 0; c < 8; ++c) term[terms - 1][c] = d[row][c];
    Word::add(term, sum);
    for (int c = 0; c < 8; ++c) of[row % 8 * 4 + c / 2].d[row / 8 * 2 + c % 2] = cut(sum[c]);
  }
}

template <class Word>
void multiply(char const* name, float (&d)[4], std::uint32_t const (&a)[4], std::uint32_t const (&b)[2]) {
  operands const mine{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}, {d[0], d[1], d[2], d[3]}};
  operands const done = ::fibers::resolve(~0U, name, mine, [](unsigned, operands(&of)[32]) { multiply_all<Word>(of); });
  for (int i = 0; i < 4; ++i) d[i] = done.d[i];
}

}  // namespace detail

inline void mma_bf16(float (&d)[4], std::uint32_t const (&a)[4], std::uint32_t const (&b)[2]) {
  detail::multiply<detail::bf16_pair>("mma_bf16", d, a, b);
}
inline void mma_e4m3(float (&d)[4], std::uint32_t const (&a)[4], std::uint32_t const (&b)[2]) {
  detail::multiply<detail::e4m3_four>("mma_e4m3", d, a, b);
}

inline void ldmatrix_x4(std::uint32_t (&v)[4], void const* row) {
  if (reinterpret_cast<std::uintptr_t>(row) % 16 != 0) ::fibers::fail("ldmatrix of a misaligned address");
  ::fibers::lane_values const rows = ::fibers::tell(~0U, "ldmatrix", row);
  int const lane = ::fibers::lane();
  for (int i = 0; i < 4; ++i) v[i] = static_cast<std::uint32_t const*>(rows.of<void const*>(8 * i + lane / 4))[lane % 4];
}

inline int thread_again() { return static_cast<int>(threadIdx.x); }

inline std::uint32_t times_2_to_120(std::uint32_t pair) {
  auto const one = [](double x) { return __builtin_bit_cast(std::uint32_t, static_cast<float>(x * 0x1p120)); };
  return one(detail::bf16_pair::value(pair, 0)) >> 16 | (one(detail::bf16_pair::value(pair, 1)) & 0xFFFF'0000U);
}

}  // namespace moesaic::inline MOESAIC_ABI::cuda::ptx
