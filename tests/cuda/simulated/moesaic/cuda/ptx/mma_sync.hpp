// Found before the header of this name: the same functions in C++. Products and their sum are exact here, and then cut to 24 bits, which is
// no better than what the hardware does with bf16. With E4M3 it is: e4m3_fraction_bits.
#pragma once

#include <cstdint>

#include <moesaic/core/macros.hpp>
#include <moesaic/num/e4m3.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::ptx {

namespace detail {
inline double half(std::uint32_t pair, int which) {
  return static_cast<double>(__builtin_bit_cast(float, which == 0 ? pair << 16 : pair & 0xFFFF'0000U));
}
inline float cut(double x) {
  auto const f = static_cast<float>(x);
  return std::isfinite(f) && std::fabs(static_cast<double>(f)) > std::fabs(x) ? std::nextafter(f, 0.0F) : f;
}
}  // namespace detail

/// Of a sum of E4M3 products, as the hardware keeps them: every term is cut so many bits behind the leading one of the largest. Many: the
/// sum is exact, so that nothing hides an error in what is multiplied by what.
inline int e4m3_fraction_bits = 1000;

namespace detail {

/// d += a · b, `Deep` numbers of a word, of which `value(word, which)` makes the number.
template <int Deep, class Value, class Sum>
void multiply(float (&d)[4], std::uint32_t const (&a)[4], std::uint32_t const (&b)[2], Value const& value, Sum const& sum) {
  struct operands {
    std::uint32_t a[4], b[2];
  };
  operands const mine{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
  unsigned char const* const slots = ::simulated::exchange(~0U, &mine, sizeof(mine));
  int const lane = ::simulated::lane(), g = lane / 4, q = lane % 4;
  constexpr int half_of_k = 4 * Deep, terms = 2 * half_of_k + 1;
  for (int i = 0; i < 4; ++i) {
    int const row = g + i / 2 * 8, column = 2 * q + i % 2;
    double term[terms];
    for (int k = 0; k < 2 * half_of_k; ++k) {
      auto const left = ::simulated::of_lane<operands>(slots, row % 8 * 4 + k % half_of_k / Deep);
      auto const right = ::simulated::of_lane<operands>(slots, column * 4 + k % half_of_k / Deep);
      term[k] = value(left.a[k / half_of_k * 2 + row / 8], k % Deep) * value(right.b[k / half_of_k], k % Deep);
    }
    term[terms - 1] = static_cast<double>(d[i]);
    d[i] = cut(sum(term, terms));
  }
}

}  // namespace detail

inline void mma_bf16(float (&d)[4], std::uint32_t const (&a)[4], std::uint32_t const (&b)[2]) {
  detail::multiply<2>(d, a, b, detail::half, [](double const* term, int count) {
    double sum = 0.0;
    for (int i = 0; i < count; ++i) sum += term[i];
    return sum;
  });
}

inline void mma_e4m3(float (&d)[4], std::uint32_t const (&a)[4], std::uint32_t const (&b)[2]) {
  auto const code = [](std::uint32_t word, int which) {
    return static_cast<double>(e4m3_to_float(static_cast<std::uint8_t>(word >> 8 * which)));
  };
  detail::multiply<4>(d, a, b, code, [](double const* term, int count) {
    double most = 0.0, sum = 0.0;
    for (int i = 0; i < count; ++i) most = std::fabs(term[i]) > most ? std::fabs(term[i]) : most;
    bool const is_cut = e4m3_fraction_bits < 53 && most > 0.0 && std::isfinite(most);
    double const unit = is_cut ? std::ldexp(1.0, std::ilogb(most) - e4m3_fraction_bits) : 1.0;
    for (int i = 0; i < count; ++i) sum += is_cut ? std::trunc(term[i] / unit) * unit : term[i];
    return sum;
  });
}

inline void ldmatrix_x4(std::uint32_t (&v)[4], void const* row) {
  if (reinterpret_cast<std::uintptr_t>(row) % 16 != 0) ::simulated::fail("ldmatrix of a misaligned address");
  unsigned char const* const slots = ::simulated::exchange(~0U, &row, sizeof(row));
  int const lane = ::simulated::lane();
  for (int i = 0; i < 4; ++i)
    v[i] = static_cast<std::uint32_t const*>(::simulated::of_lane<void const*>(slots, 8 * i + lane / 4))[lane % 4];
}

inline int thread_again() { return static_cast<int>(threadIdx.x); }

inline std::uint32_t times_2_to_120(std::uint32_t pair) {
  auto const one = [](double x) { return __builtin_bit_cast(std::uint32_t, static_cast<float>(x * 0x1p120)); };
  return one(detail::half(pair, 0)) >> 16 | (one(detail::half(pair, 1)) & 0xFFFF'0000U);
}

}  // namespace moesaic::inline MOESAIC_ABI::cuda::ptx
