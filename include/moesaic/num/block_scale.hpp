// The arithmetic of DeepSeek's activation quantiser, for one block of 1 x 128 values that share a scale.
//
//   amax  = max |x| over the block                          (the caller's: see abs_bits)
//   scale = max(amax, 1e-4) / 448                           block_scale, or block_scale_e8m0: the same, rounded up to a power of two
//   code  = e4m3(x / scale)                                 quantize_e4m3
//
// Source: act_quant of DeepSeek-V3/R1 (inference/kernel.py; the floor of 1e-4 and the power of two as in V3.1 and V3.2). All divisions are
// fp32 divisions, rounded to nearest even, never a product with a reciprocal, so the bits are the same everywhere.
#pragma once

#include <cstdint>

#include <moesaic/core/macros.hpp>
#include <moesaic/num/bits.hpp>
#include <moesaic/num/e4m3.hpp>
#include <moesaic/num/e8m0.hpp>
#include <moesaic/num/fma.hpp>

namespace moesaic::inline MOESAIC_ABI {

/// Columns (and, for weights, rows) that share one scale. Always 128, also at ragged edges: never to be inferred from a scale grid.
inline constexpr int scale_block = 128;

/// max(amax, 1e-4) / 448. An infinite amax gives an infinite scale, a NaN the canonical NaN; either way the block reads back as NaN.
/// The sign of amax is ignored.
MOESAIC_INLINE constexpr float block_scale(float amax) {
  std::uint32_t const a = abs_bits(amax);
  std::uint32_t const least = to_bits(1e-4f);
  std::uint32_t const finite = detail::pick((a > least) & (a <= inf_bits), a, least);
  std::uint32_t const scale = to_bits(detail::quotient(from_bits(finite), e4m3_max));
  return from_bits(detail::pick(a > inf_bits, nan_bits, scale));
}

/// The UE8M0 code of the smallest power of two that is not below block_scale(amax); 0xFF for an amax that is infinite or NaN.
MOESAIC_INLINE constexpr std::uint8_t block_scale_e8m0(float amax) { return to_e8m0_ceil(block_scale(amax)); }

/// The E4M3 code of x / scale; `scale` is block_scale(amax) or e8m0_to_float(block_scale_e8m0(amax)). A NaN scale gives 0x7F.
MOESAIC_INLINE constexpr std::uint8_t quantize_e4m3(float x, float scale) {
  if (__builtin_is_constant_evaluated()) {  // where arithmetic that makes a NaN is an error
    if (is_nan(x) || is_nan(scale) || (abs_bits(x) == inf_bits && abs_bits(scale) == inf_bits)) return 0x7F;
  }
  return to_e4m3(detail::quotient(x, scale));
}

}  // namespace moesaic::inline MOESAIC_ABI
