// Found before the header of this name: the same functions in C++. Products and their sum are exact here, and then cut to 24 bits, which is
// no better than what the hardware does.
#pragma once

#include <cstdint>

#include <moesaic/core/macros.hpp>

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

inline void mma_bf16(float (&d)[4], std::uint32_t const (&a)[4], std::uint32_t const (&b)[2]) {
  struct operands {
    std::uint32_t a[4], b[2];
  };
  operands const mine{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
  unsigned char const* const slots = ::simulated::exchange(~0U, &mine, sizeof(mine));
  int const lane = ::simulated::lane(), g = lane / 4, q = lane % 4;
  for (int i = 0; i < 4; ++i) {
    int const row = g + i / 2 * 8, column = 2 * q + i % 2;
    double sum = static_cast<double>(d[i]);
    for (int k = 0; k < 16; ++k) {
      auto const left = ::simulated::of_lane<operands>(slots, row % 8 * 4 + k % 8 / 2);
      auto const right = ::simulated::of_lane<operands>(slots, column * 4 + k % 8 / 2);
      sum += detail::half(left.a[k / 8 * 2 + row / 8], k % 2) * detail::half(right.b[k / 8], k % 2);
    }
    d[i] = detail::cut(sum);
  }
}

inline std::uint32_t times_2_to_120(std::uint32_t pair) {
  auto const one = [](double x) { return __builtin_bit_cast(std::uint32_t, static_cast<float>(x * 0x1p120)); };
  return one(detail::half(pair, 0)) >> 16 | (one(detail::half(pair, 1)) & 0xFFFF'0000U);
}

}  // namespace moesaic::inline MOESAIC_ABI::cuda::ptx
