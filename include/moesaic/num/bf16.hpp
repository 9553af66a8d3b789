// bfloat16 as storage: the upper half of a float.
#pragma once

#include <cstdint>

#include <moesaic/core/macros.hpp>
#include <moesaic/num/bits.hpp>

namespace moesaic::inline MOESAIC_ABI {

/// 1 sign, 8 exponent, 7 mantissa bits. Storage only: arithmetic is in float.
struct bf16 {
  std::uint16_t bits;
};

/// Exact for every code. Every NaN code gives the canonical NaN.
MOESAIC_INLINE constexpr float to_float(bf16 x) {
  std::uint32_t const u = std::uint32_t{x.bits} << 16;
  return from_bits(detail::pick((u & 0x7FFF'FFFFu) > inf_bits, nan_bits, u));
}

/// Nearest, ties to even; denormals are kept, what rounds past the largest finite value is infinity; every NaN gives 0x7FC0.
MOESAIC_INLINE constexpr bf16 to_bf16(float x) {
  std::uint32_t const u = to_bits(x);
  std::uint32_t const rounded = (u + 0x7FFFu + ((u >> 16) & 1u)) >> 16;
  return {static_cast<std::uint16_t>(detail::pick((u & 0x7FFF'FFFFu) > inf_bits, 0x7FC0u, rounded))};
}

}  // namespace moesaic::inline MOESAIC_ABI
