// Data that benchmarks work on, made on the card: never zeros, which draw less power and let the clock run faster than real numbers do.
// All of it is a function of the index and a seed.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp8.h>

#include <cstdint>

#include "device.hpp"

namespace gpu {

__host__ __device__ constexpr std::uint64_t mix(std::uint64_t x) {  // splitmix64's finaliser
  x += 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

/// N(0, 1), by Box and Muller.
__device__ inline float normal(std::uint64_t index, std::uint64_t seed) {
  std::uint64_t const bits = mix(index ^ mix(seed));
  float const u = (static_cast<float>(bits >> 40) + 1.0F) * 0x1p-24F, v = static_cast<float>(bits & 0xFFFFFF) * 0x1p-24F;
  return sqrtf(-2.0F * __logf(u)) * __cosf(6.2831853F * v);
}

/// words[i] = mix(i); *sum ^= all of them.
__global__ void fill_words(std::uint64_t* words, std::int64_t count, unsigned long long* sum) {
  std::uint64_t mine = 0;
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < count; i += std::int64_t{gridDim.x} * blockDim.x) {
    words[i] = mix(static_cast<std::uint64_t>(i));
    mine ^= words[i];
  }
  atomicXor(sum, mine);
}

__global__ void fill_normal(__nv_bfloat16* x, std::int64_t count, std::uint64_t seed) {
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < count; i += std::int64_t{gridDim.x} * blockDim.x)
    x[i] = __float2bfloat16_rn(normal(static_cast<std::uint64_t>(i), seed));
}

/// One block of Rows x 128 values of N(0, 1), quantised to E4M3 with the scale amax / 448 and written with that scale times 1/2, 1 or 2: so
/// a product that takes a wrong scale is wrong by what a test sees, and the codes stay those of quantised normals.
/// Grid: (columns / 128, rows / Rows), 128 threads. codes[row][column] has row stride `columns`; the scale is
/// scales[blockIdx.x * scale_stride_x + blockIdx.y * scale_stride_y].
template <int Rows>
__global__ void __launch_bounds__(128) fill_e4m3(std::uint8_t* codes, float* scales, std::int64_t columns, std::int64_t scale_stride_x,
                                                 std::int64_t scale_stride_y, std::uint64_t seed) {
  __shared__ float most[4];
  std::int64_t const at = std::int64_t{blockIdx.y} * Rows * columns + std::int64_t{blockIdx.x} * 128 + threadIdx.x;
  float amax = 0.0F;
  for (int r = 0; r < Rows; ++r) amax = fmaxf(amax, fabsf(normal(static_cast<std::uint64_t>(at + r * columns), seed)));
  for (int lanes = 16; lanes > 0; lanes /= 2) amax = fmaxf(amax, __shfl_xor_sync(0xFFFFFFFFU, amax, lanes));
  if (threadIdx.x % 32 == 0) most[threadIdx.x / 32] = amax;
  __syncthreads();
  float const scale = fmaxf(fmaxf(most[0], most[1]), fmaxf(most[2], most[3])) / 448.0F;
  for (int r = 0; r < Rows; ++r)
    codes[at + r * columns] =
        __nv_cvt_float_to_fp8(normal(static_cast<std::uint64_t>(at + r * columns), seed) / scale, __NV_SATFINITE, __NV_E4M3);
  if (threadIdx.x == 0) {
    std::uint64_t const which = mix(blockIdx.x + 65536ULL * blockIdx.y + seed) % 3;
    scales[blockIdx.x * scale_stride_x + blockIdx.y * scale_stride_y] = scale * (which == 0 ? 0.5F : which == 1 ? 1.0F : 2.0F);
  }
}

}  // namespace gpu
