// The stand-in for the header of the same name: as wrong as that may be, in either direction.
#pragma once

#include <cmath>

#include <moesaic/num/bits.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::ptx {

inline float about_sigmoid(float x) {
  double const exact = 1.0 / (1.0 + std::exp(-static_cast<double>(x)));
  return static_cast<float>(exact + ((to_bits(x) & 1U) != 0 ? 0x1p-21 : -0x1p-21));
}

}  // namespace moesaic::inline MOESAIC_ABI::cuda::ptx
