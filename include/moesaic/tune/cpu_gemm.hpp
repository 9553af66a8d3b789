// Tile shapes of the CPU grouped GEMM, one row per size of the register file: accumulators, two weight vectors and a broadcast fit. Not
// tuned by measurement yet. Replace the policy by passing your own to the kernel.
#pragma once

#include <moesaic/core/macros.hpp>

namespace moesaic::inline MOESAIC_ABI::tune {

/// `rows` tokens × 32 weight rows are accumulated in registers at a time; up to `panel_rows` tokens share one decoded weight panel.
struct cpu_gemm_policy {
  int rows;
  int panel_rows;
};

enum class cpu_registers { sse_or_neon_16x4, avx2_16x8, avx512_32x16 };

constexpr cpu_gemm_policy select(cpu_registers r) {
  switch (r) {
    case cpu_registers::avx512_32x16: return {.rows = 8, .panel_rows = 48};
    case cpu_registers::avx2_16x8: return {.rows = 3, .panel_rows = 48};
    case cpu_registers::sse_or_neon_16x4: return {.rows = 1, .panel_rows = 48};
  }
  return {.rows = 1, .panel_rows = 48};
}

#if defined(__AVX512F__)
inline constexpr cpu_registers native_registers = cpu_registers::avx512_32x16;
#elif defined(__AVX2__)
inline constexpr cpu_registers native_registers = cpu_registers::avx2_16x8;
#else
inline constexpr cpu_registers native_registers = cpu_registers::sse_or_neon_16x4;
#endif

}  // namespace moesaic::inline MOESAIC_ABI::tune
