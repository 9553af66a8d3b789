// Instructions whose bits are the hardware's: for estimates that something exact comes after, never for a result.
#pragma once

#include <cuda_runtime_api.h>

#include <moesaic/core/macros.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::ptx {

/// 1 / (1 + e^−x) within 2⁻²¹, for every x; NaN for NaN. (By their specification ex2 is within 2⁻²² of its value and rcp within 2⁻²³.)
__device__ inline float about_sigmoid(float x) {
  float e, s;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(e) : "f"(x * -0x1.715476p+0F));
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(s) : "f"(1.0F + e));
  return s;
}

}  // namespace moesaic::inline MOESAIC_ABI::cuda::ptx
