// E4M3FN, the FP8 of the checkpoints: 1 sign, 4 exponent (bias 7), 3 mantissa bits; no infinity, NaN is 0x7F and 0xFF, the largest is 448.
#pragma once

#include <cstdint>

#include <moesaic/core/macros.hpp>
#include <moesaic/num/bits.hpp>

namespace moesaic::inline MOESAIC_ABI {

inline constexpr float e4m3_max = 448.0f;

/// Nearest, ties to even; denormals (multiples of 2^-9) are kept; everything beyond ±448, infinity too, gives ±448; the sign of zero is
/// kept, also where a value rounds to zero; every NaN gives 0x7F. The bits of cvt.rn.satfinite.e4m3x2.f32.
MOESAIC_INLINE constexpr std::uint8_t to_e4m3(float x) {
  std::uint32_t const u = to_bits(x);
  std::uint32_t const sign = (u >> 24) & 0x80u;
  std::uint32_t const abs = u & 0x7FFF'FFFFu;
  std::uint32_t const a =
      detail::pick(abs < 0x43E0'0000u, abs, 0x43E0'0000u);  // at most 448, so that the arithmetic below sees no infinity and no NaN
  // The unit of 2^14 is 2^-9, which is the unit of a denormal: the addition rounds to it.
  std::uint32_t const denormal = to_bits(from_bits(a) + 16384.0f) - to_bits(16384.0f);
  std::uint32_t const normal = (a - (120u << 23) + 0x7'FFFFu + ((a >> 20) & 1u)) >> 20;
  std::uint32_t const code = detail::pick(a < (121u << 23), denormal, normal) | sign;
  return static_cast<std::uint8_t>(detail::pick(abs > inf_bits, 0x7Fu, code));
}

/// Exact for every code; 0x7F and 0xFF give the canonical NaN.
MOESAIC_INLINE constexpr float e4m3_to_float(std::uint8_t code) {
  std::uint32_t const sign = (std::uint32_t{code} & 0x80u) << 24;
  std::uint32_t const m = std::uint32_t{code} & 0x7Fu;
  std::uint32_t const shifted = m << 20;
  // A denormal is m units of 2^-9: placed below the leading one of 2^-6, and that one taken away again, exactly.
  std::uint32_t const denormal = to_bits(from_bits(shifted + (121u << 23)) - from_bits(121u << 23));
  std::uint32_t const normal = shifted + (120u << 23);
  std::uint32_t const value = sign | detail::pick(m < 8u, denormal, normal);
  return from_bits(detail::pick(m == 0x7Fu, nan_bits, value));
}

}  // namespace moesaic::inline MOESAIC_ABI
