// Conversions of pairs that the hardware has, where its bits are the contract's or differ from them in NaN alone.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include <moesaic/num/convert.hpp>
#include <moesaic/num/e4m3.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::ptx {

/// Two floats rounded to T, `low` in the lower half, as to_bf16 and to_fp16 do; but a NaN becomes 0x7FFF.
template <class T>
__device__ inline std::uint32_t narrow_pair(float low, float high) = delete;
template <>
__device__ inline std::uint32_t narrow_pair<bf16>(float low, float high) {
  std::uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}
template <>
__device__ inline std::uint32_t narrow_pair<fp16>(float low, float high) {
  std::uint32_t pair;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

/// An fp16 as a float; any NaN for a NaN.
__device__ inline float widen_fp16(std::uint16_t bits) {
  float v;
  asm("cvt.f32.f16 %0, %1;" : "=f"(v) : "h"(bits));
  return v;
}

/// to_e4m3 of both, `low` in the lower byte.
__device__ inline std::uint16_t e4m3_pair(float low, float high) {
#if __CUDA_ARCH__ >= 890
  std::uint16_t pair;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(high), "f"(low));
  return pair;
#else
  return static_cast<std::uint16_t>(to_e4m3(low) | to_e4m3(high) << 8);
#endif
}

}  // namespace moesaic::inline MOESAIC_ABI::cuda::ptx
