// Numbers as sums of bf16, which is what mma.sync multiplies: E4M3 codes are one term, fp32 numbers three, all exact. Two terms lie in a
// word, the lower index in the lower half. Bits on host and device; the tests look at every code.
#pragma once

#include <cstdint>

#include <moesaic/core/macros.hpp>
#include <moesaic/num/bits.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

/// Sign, exponent and mantissa of two E4M3 codes at their places in bf16. `codes`: one in the upper byte of either half. The exponent is
/// 120 too small (bf16 has a bias of 127, E4M3 one of 7), which a product with 2^120 puts right, for denormals too. NaN codes become ±480.
MOESAIC_INLINE constexpr std::uint32_t e4m3_fields(std::uint32_t codes) { return (codes & 0x8000'8000U) | ((codes >> 4) & 0x07F0'07F0U); }

/// What turns the ±480 of a NaN code into a NaN: bits to be set in the bf16 that e4m3_fields and 2^120 have made.
MOESAIC_INLINE constexpr std::uint32_t e4m3_nan_mask(std::uint32_t fields) {
  std::uint32_t const carry = ((fields & 0x07F0'07F0U) + 0x0010'0010U) & 0x0800'0800U;
  return (carry << 4) - (carry >> 4);  // 0x7F80 in either half
}

/// The upper halves of two words as a pair.
MOESAIC_INLINE constexpr std::uint32_t upper_halves(std::uint32_t low, std::uint32_t high) {
#if defined(__CUDA_ARCH__)
  if (!__builtin_is_constant_evaluated()) return ::__byte_perm(low, high, 0x7632);
#endif
  return low >> 16 | (high & 0xFFFF'0000U);
}

/// The first bf16 of x is its upper half, cut and not rounded; this is x less that, exactly. Infinity leaves nothing; NaN stays NaN, so
/// that one whose upper half is infinity is not lost.
MOESAIC_INLINE constexpr float behind_first_term(float x) {
  std::uint32_t const u = to_bits(x);
  if ((u & 0x7FFF'FFFFU) == inf_bits) return 0.0F;
  if ((u & 0x7FFF'FFFFU) > inf_bits) return from_bits(nan_bits);
  return x - from_bits(u & 0xFFFF'0000U);
}

}  // namespace moesaic::inline MOESAIC_ABI::cuda
