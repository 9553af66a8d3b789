// The stand-in for the header of the same name: what its instructions are documented to do.
#pragma once

#include <cstdint>

#include <moesaic/num/convert.hpp>
#include <moesaic/num/e4m3.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::ptx {

template <class T>
std::uint32_t narrow_pair(float low, float high) {
  auto const one = [](float v) { return is_nan(v) ? std::uint32_t{0x7FFF} : std::uint32_t{from_float<T>(v).bits}; };
  return one(low) | one(high) << 16;
}
inline float widen_fp16(std::uint16_t bits) { return to_float(fp16{bits}); }
inline std::uint16_t e4m3_pair(float low, float high) { return static_cast<std::uint16_t>(to_e4m3(low) | to_e4m3(high) << 8); }

}  // namespace moesaic::inline MOESAIC_ABI::cuda::ptx
