// A float seen as its 32 bits, and the one NaN that this library writes.
#pragma once

#include <cstdint>

#include <moesaic/core/macros.hpp>

namespace moesaic::inline MOESAIC_ABI {

// The builtin and not std::bit_cast: device code may call it without --expt-relaxed-constexpr, and <bit> costs more than all of num/.
MOESAIC_INLINE constexpr std::uint32_t to_bits(float x) { return __builtin_bit_cast(std::uint32_t, x); }
MOESAIC_INLINE constexpr float from_bits(std::uint32_t u) { return __builtin_bit_cast(float, u); }

/// The canonical NaN: positive, quiet, no payload. Hardware makes other ones (x86: negative, NVIDIA: all ones), so every function of num/
/// that answers a NaN, save `fma` and `product`, answers this one.
inline constexpr std::uint32_t nan_bits = 0x7FC0'0000u;
inline constexpr std::uint32_t inf_bits = 0x7F80'0000u;

/// |x| as an integer. Orders as the magnitudes do, with every NaN above infinity; so an integer maximum over it is an amax that keeps NaN,
/// does not depend on the order of its operands, and is one instruction a lane.
MOESAIC_INLINE constexpr std::uint32_t abs_bits(float x) { return to_bits(x) & 0x7FFF'FFFFu; }

namespace detail {

// yes ? a : b by a mask. GCC 12 turns some conditional expressions into jumps, which then keep a loop from being vectorised; never this
// one.
MOESAIC_INLINE constexpr std::uint32_t pick(bool yes, std::uint32_t a, std::uint32_t b) {
  std::uint32_t const mask = 0u - static_cast<std::uint32_t>(yes);
  return (a & mask) | (b & ~mask);
}
MOESAIC_INLINE constexpr float pick(bool yes, float a, float b) { return from_bits(pick(yes, to_bits(a), to_bits(b))); }

}  // namespace detail

MOESAIC_INLINE constexpr bool is_nan(float x) { return abs_bits(x) > inf_bits; }

}  // namespace moesaic::inline MOESAIC_ABI
