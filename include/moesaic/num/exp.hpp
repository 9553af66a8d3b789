// exp and sigmoid for fp32, the only ones the library uses, written in fma so that the bits are the same on every compiler and target.
#pragma once

#include <cstdint>

#include <moesaic/core/macros.hpp>
#include <moesaic/num/bits.hpp>
#include <moesaic/num/fma.hpp>

namespace moesaic::inline MOESAIC_ABI {

namespace detail {

// x = n ln2 + r + r_low with n an integer, |r| <= ln2 / 2 and r_low below half a unit of r.
struct exp_split {
  std::uint32_t n;  // two's complement
  float r, r_low;
};

// For |x| < 2^21. The magic number 1.5 * 2^23 has unit 1, so the addition rounds to an integer and leaves it in the low bits.
MOESAIC_INLINE constexpr exp_split split_exp(float x) {
  float const magic = 12582912.0f;
  float const shifted = fma(x, 0x1.715476p+0f, magic);
  float const n = shifted - magic;
  float const high = fma(n, -0x1.62e430p-1f, x);    // exact
  float const r = fma(n, 0x1.05c610p-29f, high);    // ln2 = 0x1.62e430p-1 - 0x1.05c610p-29, to 2^-54
  return {to_bits(shifted) - to_bits(magic), r, fma(n, 0x1.05c610p-29f, high - r)};
}

// (e^r - 1 - r) / r^2 for |r| <= ln2 / 2: a minimax polynomial (error 2^-28.2 of e^r), its coefficients rounded to fp32 one after another.
MOESAIC_INLINE constexpr float exp_tail(float r) {
  float q = 0x1.6ac6b2p-10f;
  q = fma(q, r, 0x1.123de0p-7f);
  q = fma(q, r, 0x1.555858p-5f);
  q = fma(q, r, 0x1.55548cp-3f);
  return fma(q, r, 0x1.fffffcp-2f);
}

// e^x for -104 <= x <= 88.722839, in two steps of scaling so that a denormal result is rounded once.
MOESAIC_INLINE constexpr float exp_finite(float x) {
  exp_split const s = split_exp(x);
  float const one_r = 1.0f + s.r;
  float const rest = (s.r - (one_r - 1.0f)) + s.r_low;  // what that addition and the reduction rounded away
  float const p = one_r + fma(s.r * s.r, exp_tail(s.r), rest);
  std::uint32_t const half = (s.n + 256u) / 2u - 128u;  // floor(n / 2)
  float const first = from_bits((half + 127u) << 23);
  float const second = from_bits((s.n - half + 127u) << 23);
  return product(product(p, first), second);
}

}  // namespace detail

/// e^x.
MOESAIC_INLINE constexpr float exp(float x) {
  float const largest = 0x1.62e42ep+6f;  // above it the result rounds to infinity
  float const below = x < largest ? x : largest;
  float const y = detail::exp_finite(below > -104.0f ? below : -104.0f);
  std::uint32_t const high = x > largest ? inf_bits : to_bits(y);
  return from_bits(is_nan(x) ? nan_bits : high);
}

/// 1 / (1 + e^-x), accurate relative to the result for very negative x too, where it is e^x.
MOESAIC_INLINE constexpr float sigmoid(float x) {
  std::uint32_t const a = abs_bits(x);
  float const e = detail::exp_finite(a < to_bits(104.0f) ? -from_bits(a) : -104.0f);
  float const above = x < 0.0f ? e : 1.0f;
  float const below = 1.0f + e;
  float const lost = e - (below - 1.0f);  // exactly what that addition rounded away
  float const q = detail::quotient(above, below);
  float const reciprocal = x < 0.0f ? 1.0f - q : q;  // of `below`, nearly
  float const rest = fma(-q, lost, fma(-q, below, above));
  float const y = fma(rest, reciprocal, q);
  return from_bits(a > inf_bits ? nan_bits : to_bits(y));
}

}  // namespace moesaic::inline MOESAIC_ABI
