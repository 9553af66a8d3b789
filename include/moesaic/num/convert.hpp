// The element types of a matrix, to float and from it, by one name: to_float(x) and from_float<T>(x).
#pragma once

#include <moesaic/core/macros.hpp>
#include <moesaic/num/bf16.hpp>
#include <moesaic/num/fp16.hpp>

namespace moesaic::inline MOESAIC_ABI {

/// The identity, bit for bit, so that code over an element type may always say to_float.
MOESAIC_INLINE constexpr float to_float(float x) { return x; }

/// x rounded to T: float (the identity), bf16 or fp16.
template <class T>
T from_float(float x) = delete;

template <>
MOESAIC_INLINE constexpr float from_float<float>(float x) {
  return x;
}
template <>
MOESAIC_INLINE constexpr bf16 from_float<bf16>(float x) {
  return to_bf16(x);
}
template <>
MOESAIC_INLINE constexpr fp16 from_float<fp16>(float x) {
  return to_fp16(x);
}

}  // namespace moesaic::inline MOESAIC_ABI
