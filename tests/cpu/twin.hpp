// The arithmetic of the engines, one output at a time, in plain scalar code: what their instructions must give on a machine that has them,
// and how their numbers behave on one that has not.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

namespace twin {

// Nearest fp16 of a sum that was rounded to odd, so that rounding twice is rounding once; ties to even, denormals kept, no overflow here.
inline double nearest_fp16(double x) {
  if (x == 0.0) return x;
  int const exponent = std::ilogb(x);
  double const unit = std::ldexp(1.0, (exponent < -14 ? -14 : exponent) - 10);
  return std::nearbyint(x / unit) * unit;
}

// fma in fp16: the product of two fp16 numbers is exact in double, the sum is made odd where it is not.
inline double fp16_fma(double a, double b, double c) {
  double const product = a * b, sum = product + c, back = sum - product;
  double const lost = (product - (sum - back)) + (c - back);
  double odd = sum;
  if (lost != 0.0) {
    auto const bits = __builtin_bit_cast(std::uint64_t, sum);
    if (bits % 2 == 0) odd = std::nextafter(sum, lost > 0.0 ? INFINITY : -INFINITY);
  }
  return nearest_fp16(odd);
}

// fma in fp32 as AVX512-BF16 has it: denormal operands and results are zero.
inline float flushed(float x) { return std::fabs(x) < 0x1p-126F ? std::copysign(0.0F, x) : x; }
inline float flushing_fma(float a, float b, float c) { return flushed(std::fma(flushed(a), flushed(b), flushed(c))); }

// A row of `x` elements with a scale for each 128 of them times a weight row with one likewise. Weights are decoded: value · unit is true.
struct operands {
  std::vector<float> x, x_scale, w, w_scale;
  float unit = 1.0F;
  float scale(std::size_t block) const { return x_scale[block] * (unit * w_scale[block]); }
};

// Even and odd columns apart, each by fma, promoted behind every block.
inline float fp32_exact(operands const& o) {
  float total[2] = {};
  for (std::size_t b = 0; b * 128 < o.x.size(); ++b) {
    float sum[2] = {};
    for (std::size_t k = b * 128; k < o.x.size() && k < (b + 1) * 128; ++k) sum[k % 2] = std::fma(o.x[k], o.w[k], sum[k % 2]);
    for (int odd = 0; odd < 2; ++odd) total[odd] = std::fma(sum[odd], o.scale(b), total[odd]);
  }
  return total[0] + total[1];
}

// The same in fp16, promoted behind every `promote` products of a sum.
inline float fp16_chunked(operands const& o, std::size_t promote) {
  float total[2] = {};
  for (std::size_t first = 0; first < o.x.size(); first += 2 * promote) {
    double sum[2] = {};
    for (std::size_t k = first; k < o.x.size() && k < first + 2 * promote; ++k)
      sum[k % 2] = fp16_fma(static_cast<double>(o.x[k]), static_cast<double>(o.w[k]), sum[k % 2]);
    for (int odd = 0; odd < 2; ++odd) total[odd] = std::fma(static_cast<float>(sum[odd]), o.scale(first / 128), total[odd]);
  }
  return total[0] + total[1];
}

// One sum; of every pair of columns the odd one first.
inline float bf16_dot(operands const& o) {
  float total = 0.0F;
  for (std::size_t b = 0; b * 128 < o.x.size(); ++b) {
    float sum = 0.0F;
    for (std::size_t k = b * 128; k < o.x.size() && k < (b + 1) * 128; k += 2) {
      if (k + 1 < o.x.size()) sum = flushing_fma(o.x[k + 1], o.w[k + 1], sum);
      sum = flushing_fma(o.x[k], o.w[k], sum);
    }
    total = std::fma(sum, o.scale(b), total);
  }
  return total;
}

// TDPBF16PS, "Operation" in Intel's Software Developer's Manual, volume 2: within a tile of 16 pairs even and odd columns have a sum each,
// from 0 and by fma, with DAZ and FTZ; then C := C + (even + odd), two additions with DAZ and FTZ. A block of 128 columns is four tiles.
inline float amx_bf16(operands const& o) {
  float total = 0.0F;
  for (std::size_t b = 0; b * 128 < o.x.size(); ++b) {
    float sum = 0.0F;
    for (std::size_t tile = b * 128; tile < o.x.size() && tile < (b + 1) * 128; tile += 32) {
      float part[2] = {};
      for (std::size_t k = tile; k < o.x.size() && k < tile + 32; ++k) part[k % 2] = flushing_fma(o.x[k], o.w[k], part[k % 2]);
      sum = flushed(sum + flushed(part[0] + part[1]));
    }
    total = std::fma(sum, o.scale(b), total);
  }
  return total;
}

}  // namespace twin
