// IEEE binary16 as storage.
#pragma once

#include <cstdint>

#include <moesaic/core/macros.hpp>
#include <moesaic/num/bits.hpp>

namespace moesaic::inline MOESAIC_ABI {

/// 1 sign, 5 exponent, 10 mantissa bits. Storage only: arithmetic is in float.
struct fp16 {
  std::uint16_t bits;
};

/// Exact for every code. Every NaN code gives the canonical NaN.
MOESAIC_INLINE constexpr float to_float(fp16 x) {
  std::uint32_t const sign = (std::uint32_t{x.bits} & 0x8000u) << 16;
  std::uint32_t const m = std::uint32_t{x.bits} & 0x7FFFu;
  std::uint32_t const shifted = m << 13;
  // A denormal is m units of 2^-24: placed below the leading one of 2^-14, and that one taken away again, exactly.
  std::uint32_t const denormal = to_bits(from_bits(shifted + (113u << 23)) - from_bits(113u << 23));
  std::uint32_t const normal = shifted + (112u << 23);
  std::uint32_t const finite = sign | detail::pick(m < 0x0400u, denormal, normal);
  std::uint32_t const special = detail::pick(m > 0x7C00u, nan_bits, sign | inf_bits);
  return from_bits(detail::pick(m >= 0x7C00u, special, finite));
}

/// Nearest, ties to even; denormals are kept, what rounds past 65504 (from 65520 on) is infinity; every NaN gives 0x7E00.
MOESAIC_INLINE constexpr fp16 to_fp16(float x) {
  std::uint32_t const u = to_bits(x);
  std::uint32_t const sign = (u >> 16) & 0x8000u;
  std::uint32_t const a = u & 0x7FFF'FFFFu;
  bool const tiny = a < (113u << 23);  // below 2^-14
  // The unit of 0.5 is 2^-24, which is the unit of a denormal: the addition rounds to it.
  std::uint32_t const denormal = to_bits(from_bits(detail::pick(tiny, a, 0u)) + 0.5f) - to_bits(0.5f);
  std::uint32_t const normal = (a - (112u << 23) + 0x0FFFu + ((a >> 13) & 1u)) >> 13;
  std::uint32_t const special = detail::pick(a > inf_bits, 0x7E00u, sign | 0x7C00u);
  std::uint32_t const large = detail::pick(a >= 0x477F'F000u, special, sign | normal);
  std::uint32_t const h = detail::pick(tiny, sign | denormal, large);
  return {static_cast<std::uint16_t>(h)};
}

}  // namespace moesaic::inline MOESAIC_ABI
