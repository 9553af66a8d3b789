// UE8M0, a scale that is a power of two: code c is 2^(c - 127), 0xFF is NaN.
#pragma once

#include <cstdint>

#include <moesaic/core/macros.hpp>
#include <moesaic/num/bits.hpp>

namespace moesaic::inline MOESAIC_ABI {

/// Exact for every code: 2^(c - 127), code 0 being the denormal float 2^-127; 0xFF gives the canonical NaN.
MOESAIC_INLINE constexpr float e8m0_to_float(std::uint8_t code) {
  std::uint32_t const c = code;
  std::uint32_t const finite = detail::pick(c == 0u, 0x0040'0000u, c << 23);
  return from_bits(detail::pick(c == 0xFFu, nan_bits, finite));
}

/// The smallest power of two that is not below |x|, by bits: the exponent, and one more where the mantissa is not zero. Meant for positive
/// x; the sign is ignored. Clamps: zero and all up to 2^-127 give code 0, finite values above 2^127 give code 254 (2^127, which is below
/// them); infinity and NaN give 0xFF.
MOESAIC_INLINE constexpr std::uint8_t to_e8m0_ceil(float x) {
  std::uint32_t const a = abs_bits(x);
  std::uint32_t const up = (a >> 23) + static_cast<std::uint32_t>((a & 0x007F'FFFFu) != 0u);
  std::uint32_t const clamped = detail::pick(a <= 0x0040'0000u, 0u, detail::pick(up < 254u, up, 254u));
  return static_cast<std::uint8_t>(detail::pick(a >= inf_bits, 0xFFu, clamped));
}

/// The number that a code stands for, held in fp32: for kernels that load fp32 scales and no others.
struct e8m0_as_f32 {
  float value;
};

}  // namespace moesaic::inline MOESAIC_ABI
