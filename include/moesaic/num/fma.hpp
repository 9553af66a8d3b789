// One multiply-add with one rounding, and one product that stays a product, on every compiler and instruction set.
#pragma once

#include <cstdint>

#include <moesaic/core/macros.hpp>
#include <moesaic/num/bits.hpp>

#if defined(__FMA__) || defined(__aarch64__) || defined(__ARM_FEATURE_FMA)
#define MOESAIC_HAS_FMA 1
#else
#define MOESAIC_HAS_FMA 0
#endif

namespace moesaic::inline MOESAIC_ABI {

namespace detail {

// a*b is exact in double (48 bits). The sum is rounded to odd at 53 bits, after which rounding to 24 bits (or fewer, for a denormal) gives
// what one rounding would have given: Boldo and Melquiond, "Emulation of FMA and correctly rounded sums: proved algorithms using rounding
// to odd", IEEE Trans. Computers 57(4), 2008. Integer masks and no comparisons, so that loops over it vectorise with no
// more than SSE2.
MOESAIC_INLINE constexpr float fma_software(float a, float b, float c) {
  double const x = static_cast<double>(a) * static_cast<double>(b);
  double const y = static_cast<double>(c);
  double const s = x + y;
  double const v = s - x;
  double const error = (x - (s - v)) + (y - v);  // Knuth's two-sum: s + error == x + y exactly; NaN where s is not finite
  std::uint64_t const u = __builtin_bit_cast(std::uint64_t, s);
  std::uint64_t const e = __builtin_bit_cast(std::uint64_t, error);
  std::uint64_t const inexact = ((e << 1) | (std::uint64_t{0} - (e << 1))) >> 63;                     // 1 where error is not ±0
  std::uint64_t const finite = (((u & 0x7FFF'FFFF'FFFF'FFFFu) + 0x0010'0000'0000'0000u) >> 63) ^ 1u;  // 1 where s is
  std::uint64_t const inward = (u ^ e) >> 63;  // 1 where the exact sum is nearer to zero than s
  std::uint64_t const off = inexact & finite & (~u & 1u);
  std::uint64_t const step = (std::uint64_t{0} - off) & (std::uint64_t{1} - 2u * inward);  // one away from s where s is even and not exact
  return static_cast<float>(__builtin_bit_cast(double, u + step));
}

}  // namespace detail

/// a*b + c with one rounding, to nearest even; the bits of std::fma for every finite and infinite result. Of a NaN only that it is one is
/// promised. The instruction where the target has it; elsewhere, and in constant evaluation, `detail::fma_software`.
MOESAIC_INLINE constexpr float fma(float a, float b, float c) {
  if (__builtin_is_constant_evaluated()) return detail::fma_software(a, b, c);
#if defined(__CUDA_ARCH__)
  return ::__fmaf_ieee_rn(a, b, c);  // keeps denormals even under -ftz=true
#elif MOESAIC_HAS_FMA || defined(__HIP_DEVICE_COMPILE__)
  return __builtin_fmaf(a, b, c);
#else
  return detail::fma_software(a, b, c);
#endif
}

/// a*b, rounded, and not contracted with an addition around it: `product(a, b) + c` has two roundings on g++, nvcc and clang. (Clang's
/// -ffp-contract=fast, which is not its default, is the exception: it turns this back into a bare product and contracts that.)
MOESAIC_INLINE constexpr float product(float a, float b) {
  if (__builtin_is_constant_evaluated()) return a * b;
#if defined(__CUDA_ARCH__)
  return ::__fmaf_ieee_rn(a, b, -0.0f);
#elif MOESAIC_HAS_FMA || defined(__HIP_DEVICE_COMPILE__)
  return __builtin_fmaf(a, b, -0.0f);  // the same value with the same sign of zero
#else
  return a * b;  // nothing to contract with
#endif
}

namespace detail {

/// a / b, rounded to nearest even also under nvcc's -prec-div=false.
MOESAIC_INLINE constexpr float quotient(float a, float b) {
#if defined(__CUDA_ARCH__)
  if (!__builtin_is_constant_evaluated()) return ::__fdiv_rn(a, b);
#endif
  return a / b;
}

/// The square root, rounded to nearest even also under nvcc's -prec-sqrt=false; NaN for x < 0.
MOESAIC_INLINE constexpr float square_root(float x) {
  if (__builtin_is_constant_evaluated()) {  // Newton in double settles within a unit of 2^-52: far below what could round wrongly
    if (!(x > 0.0F) || to_bits(x) == inf_bits) return x < 0.0F ? from_bits(nan_bits) : x;
    double const v = static_cast<double>(x);
    double r = v > 1.0 ? v : 1.0;
    for (int i = 0; i < 160; ++i) r = 0.5 * (r + v / r);
    return static_cast<float>(r);
  }
#if defined(__CUDA_ARCH__)
  return ::__fsqrt_rn(x);
#else
  return __builtin_sqrtf(x);
#endif
}

}  // namespace detail

}  // namespace moesaic::inline MOESAIC_ABI
