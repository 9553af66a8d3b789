// exp, sigmoid, log1p, tanh, softplus and the normal distribution for fp32: the only ones the library uses, written in fma so that the bits
// are the same on every compiler and target. Largest errors over all 2^32 inputs, against libm's double (MOESAIC_EXHAUSTIVE=1 on
// tests/num): exp 0.77, sigmoid 1.48, log1p 1.27, tanh 1.35, softplus 1.53, normal_cdf 4.09 units of the last place.
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
  float const high = fma(n, -0x1.62e430p-1f, x);  // exact
  float const r = fma(n, 0x1.05c610p-29f, high);  // ln2 = 0x1.62e430p-1 - 0x1.05c610p-29, to 2^-54
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

/// e^x, within 0.78 ulp.
MOESAIC_INLINE constexpr float exp(float x) {
  float const largest = 0x1.62e42ep+6f;  // above it the result rounds to infinity
  float const below = detail::pick(x < largest, x, largest);
  float const y = detail::exp_finite(detail::pick(below > -104.0f, below, -104.0f));
  std::uint32_t const high = detail::pick(x > largest, inf_bits, to_bits(y));
  return from_bits(detail::pick(is_nan(x), nan_bits, high));
}

/// 1 / (1 + e^-x), within 1.5 ulp: accurate relative to the result for very negative x too, where it is e^x.
MOESAIC_INLINE constexpr float sigmoid(float x) {
  std::uint32_t const a = abs_bits(x);
  float const e = detail::exp_finite(-from_bits(detail::pick(a < to_bits(104.0f), a, to_bits(104.0f))));
  float const above = detail::pick(x < 0.0f, e, 1.0f);
  float const below = 1.0f + e;
  float const lost = e - (below - 1.0f);  // exactly what that addition rounded away
  float const q = detail::quotient(above, below);
  float const reciprocal = detail::pick(x < 0.0f, 1.0f - q, q);  // of `below`, nearly
  float const rest = fma(-q, lost, fma(-q, below, above));
  float const y = fma(rest, reciprocal, q);
  return from_bits(detail::pick(a > inf_bits, nan_bits, to_bits(y)));
}

/// log(1 + x), within 1.3 ulp.
MOESAIC_INLINE constexpr float log1p(float x) {
  float const v = detail::pick((x > -1.0f) & (x <= 0x1.fffffep+127f), x, 0.0f);
  // 1 + v = 2^k (1 + f) with f in [-0.25, 0.5], f rounded once: 2^-k is exact, and so is 2^-k - 1 for every k that leaves v a say.
  std::uint32_t const k = (to_bits(1.0f + v) - to_bits(0.75f)) & 0xFF80'0000u;  // in the place of the exponent, two's complement
  float const k_float = static_cast<float>(static_cast<std::int32_t>(k)) * 0x1p-23f;
  float const four_over = from_bits(to_bits(4.0f) - k);  // 4 / 2^k, which is never denormal
  float const f = detail::pick(k == 0u, v, fma(four_over, v * 0.25f, fma(four_over, 0.25f, -1.0f)));
  float q = -0x1.7b1caep-5f;
  q = fma(q, f, 0x1.b23702p-4f);
  q = fma(q, f, -0x1.0e6fa4p-3f);
  q = fma(q, f, 0x1.286c12p-3f);
  q = fma(q, f, -0x1.54d6d4p-3f);
  q = fma(q, f, 0x1.996722p-3f);
  q = fma(q, f, -0x1.000082p-2f);
  q = fma(q, f, 0x1.5555acp-2f);
  q = fma(q, f, -0.5f);
  float const p = fma(f * f, q, f);
  float const y = detail::pick(k == 0u, p, fma(k_float, 0x1.62e430p-1f, p));
  std::uint32_t const low = detail::pick(x == -1.0f, 0xFF80'0000u, to_bits(y));
  std::uint32_t const high = detail::pick(to_bits(x) == inf_bits, inf_bits, low);
  return from_bits(detail::pick((x < -1.0f) | is_nan(x), nan_bits, high));
}

/// The hyperbolic tangent, within 1.4 ulp.
MOESAIC_INLINE constexpr float tanh(float x) {
  std::uint32_t const a = abs_bits(x);
  float const v = from_bits(detail::pick(a < to_bits(10.0f), a, to_bits(10.0f)));  // from 9.02 on the result rounds to 1
  // Below 0.625: v + v^3 T(v^2).
  float const z = v * v;
  float t = -0x1.750ce4p-8f;
  t = fma(t, z, 0x1.51f8cep-6f);
  t = fma(t, z, -0x1.b835a4p-5f);
  t = fma(t, z, 0x1.1106f6p-3f);
  t = fma(t, z, -0x1.555532p-2f);
  float const inner = fma(v * z, t, v);
  // Above: 1 - 2 / (e^2v + 1).
  float const outer = fma(-2.0f, detail::quotient(1.0f, detail::exp_finite(2.0f * v) + 1.0f), 1.0f);
  std::uint32_t const y = to_bits(detail::pick(v < 0.625f, inner, outer)) | (to_bits(x) & 0x8000'0000u);
  return from_bits(detail::pick(a > inf_bits, nan_bits, y));
}

/// log(1 + e^x), within 1.6 ulp: relative to the result for very negative x too, where it is e^x.
MOESAIC_INLINE constexpr float softplus(float x) {
  std::uint32_t const a = abs_bits(x);
  return detail::pick(x < 0.0F, 0.0F, x) + log1p(exp(-from_bits(a)));
}

/// Φ(x) = (1 + erf(x / √2)) / 2, the normal distribution's share below x, within 4.1 ulp: relative to the result for very negative x
/// too.
MOESAIC_INLINE constexpr float normal_cdf(float x) {
  std::uint32_t const bits = abs_bits(x);
  float const a = from_bits(detail::pick(bits < to_bits(14.5F), bits, to_bits(14.5F)));
  float const square = product(a, a);
  // Below 1: 1/2 + x P(x²), a minimax polynomial.
  float p = -0x1.012f16p-17F;
  p = fma(p, square, 0x1.dc1b48p-14F);
  p = fma(p, square, -0x1.36fecep-10F);
  p = fma(p, square, 0x1.46ce5ep-7F);
  p = fma(p, square, -0x1.105832p-4F);
  float const inner = fma(from_bits((to_bits(x) & 0x8000'0000U) | to_bits(a)), fma(p, square, 0x1.988454p-2F), 0.5F);
  // Above: Φ(−a) e^(a²/2) (1 + √2 a) as a polynomial in (a − 4) / (a + 4): minimax, error 2^-28.7.
  float const t = detail::quotient(a - 4.0F, a + 4.0F);
  float q = -0x1.b03d5ep-14F;
  q = fma(q, t, -0x1.f67faap-15F);
  q = fma(q, t, 0x1.13e180p-10F);
  q = fma(q, t, -0x1.6f08eep-11F);
  q = fma(q, t, -0x1.dd913cp-8F);
  q = fma(q, t, 0x1.d9571ep-6F);
  q = fma(q, t, -0x1.ddbe68p-5F);
  q = fma(q, t, 0x1.1f5408p-4F);
  q = fma(q, t, -0x1.03dc1cp-5F);
  q = fma(q, t, -0x1.0f10fap-4F);
  q = fma(q, t, 0x1.41c7dap-1F);
  float const lost = fma(a, a, -square);  // e^(−a²/2) magnifies what rounding a² loses
  float const power = detail::exp_finite(product(square, -0.5F));
  float const tail = product(fma(power, product(lost, -0.5F), power), detail::quotient(q, fma(0x1.6a09e6p+0F, a, 1.0F)));
  float const outer = detail::pick(x > 0.0F, 1.0F - tail, tail);
  float const y = detail::pick(a < 1.0F, inner, outer);
  return from_bits(detail::pick(bits > inf_bits, nan_bits, to_bits(y)));
}

}  // namespace moesaic::inline MOESAIC_ABI
