// What every other header needs from the preprocessor, and nothing else: host/device marks, the inline namespace, loop hints.
#pragma once

#include <moesaic/core/instruction_set.hpp>
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

// Version and instruction set are part of every name, v100_x0001fff say: two versions in one program share nothing, nor do objects that
// were built with different -march.
#define MOESAIC_ABI MOESAIC_INSTRUCTIONS(v, MOESAIC_VERSION, _x)

// The loop that follows carries no dependence through memory between its iterations. (clang checks at run time instead: its own pragma
// warns wherever it cannot be obeyed.)
#if defined(__GNUC__) && !defined(__clang__) && !defined(__CUDACC__)
#define MOESAIC_SIMD _Pragma("GCC ivdep")
#else
#define MOESAIC_SIMD
#endif
