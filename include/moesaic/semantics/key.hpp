// Scores as unsigned keys that compare as the contract ranks them: −0 equals +0, every NaN stands below every number.
#pragma once

#include <cstdint>

#include <moesaic/core/macros.hpp>
#include <moesaic/num/bits.hpp>

namespace moesaic::inline MOESAIC_ABI {

/// The key of an unusable score. Also what a winner's key becomes: exclusion by a value below every real key, never by −inf.
inline constexpr std::uint32_t no_key = 0;

/// Monotone map fp32 → u32: a < b as numbers implies key(a) < key(b); −inf has key 0x007fffff, NaN has no_key.
MOESAIC_INLINE constexpr std::uint32_t ordered_key(float score) {
  std::uint32_t const u = abs_bits(score) == 0 ? 0 : to_bits(score);
  std::uint32_t const key = (u >> 31) != 0 ? ~u : u | 0x80000000U;
  return is_nan(score) ? no_key : key;
}

/// The score of a key other than no_key; +0 for the key of ±0.
MOESAIC_INLINE constexpr float score_of(std::uint32_t key) { return from_bits((key >> 31) != 0 ? key & 0x7fffffffU : ~key); }

}  // namespace moesaic::inline MOESAIC_ABI
