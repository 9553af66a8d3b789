// What every other header needs from the preprocessor, and nothing else: host/device marks, the inline namespace, loop hints.
#pragma once

#include <moesaic/version.hpp>

#if defined(__FAST_MATH__)
#error "moesaic promises bits: compile the files that include it without -ffast-math"
#endif

#if defined(__CUDACC__) || defined(__HIPCC__)
#define MOESAIC_HD __host__ __device__
#else
#define MOESAIC_HD
#endif

#define MOESAIC_INLINE MOESAIC_HD inline __attribute__((always_inline))

// The instruction set is part of every name, so that objects built with different -march in one program never share an inline function.
#if defined(__AVX512FP16__) && defined(__AVX512VBMI__)
#define MOESAIC_ABI v0_1_avx512_fp16
#elif defined(__AVX512BF16__) && defined(__AVX512VBMI__)
#define MOESAIC_ABI v0_1_avx512_bf16
#elif defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512DQ__)
#define MOESAIC_ABI v0_1_avx512
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define MOESAIC_ABI v0_1_avx2
#elif defined(__ARM_NEON)
#define MOESAIC_ABI v0_1_neon
#else
#define MOESAIC_ABI v0_1_scalar
#endif

// The loop that follows carries no dependence through memory between its iterations. (clang checks at run time instead: its own pragma
// warns wherever it cannot be obeyed.)
#if defined(__GNUC__) && !defined(__clang__) && !defined(__CUDACC__)
#define MOESAIC_SIMD _Pragma("GCC ivdep")
#else
#define MOESAIC_SIMD
#endif
