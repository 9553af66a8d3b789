// Tile shapes and prefetch distances of the CPU grouped GEMM, one row per size of the register file.
// Measured: avx512_32x16, on Emerald Rapids; the others are what fits their registers. Replace the policy by passing your own.
#pragma once

#include <moesaic/core/macros.hpp>

namespace moesaic::inline MOESAIC_ABI::tune {

/// A strip is 16 weight rows, a group four columns of it.
struct cpu_gemm_policy {
  int sums;         ///< vectors of sums that are kept in registers, beside multipliers and decoded weights
  int skinny_rows;  ///< up to so many rows of an expert are multiplied while weights are decoded in registers; more share a decoded panel
  int panel_tile;   ///< rows that are summed in registers over a panel
  int panel_rows;   ///< rows that share one decoded panel
  int prefetch_groups;  ///< how far ahead weights are asked for; a multiple of 16
};

enum class cpu_registers { sse_or_neon_16x4, avx2_16x8, avx512_32x16 };

constexpr cpu_gemm_policy select(cpu_registers r) {
  switch (r) {
    case cpu_registers::avx512_32x16: return {.sums = 24, .skinny_rows = 6, .panel_tile = 4, .panel_rows = 48, .prefetch_groups = 16};
    case cpu_registers::avx2_16x8: return {.sums = 8, .skinny_rows = 2, .panel_tile = 2, .panel_rows = 48, .prefetch_groups = 16};
    case cpu_registers::sse_or_neon_16x4: break;
  }
  return {.sums = 8, .skinny_rows = 1, .panel_tile = 1, .panel_rows = 48, .prefetch_groups = 16};
}

#if defined(__AVX512F__) && defined(__AVX512BW__)
inline constexpr cpu_registers native_registers = cpu_registers::avx512_32x16;
#elif defined(__AVX2__) && defined(__F16C__)
inline constexpr cpu_registers native_registers = cpu_registers::avx2_16x8;
#else
inline constexpr cpu_registers native_registers = cpu_registers::sse_or_neon_16x4;
#endif

}  // namespace moesaic::inline MOESAIC_ABI::tune
