// Which arithmetic and which weight layout the CPU grouped GEMM takes, its tile shapes and prefetch distances, one row per kind of machine.
// Hand cpu::on or kokkos::on a type of your own in place of `native` to choose otherwise.
#pragma once

#include <cstdint>

#include <moesaic/config/layer.hpp>

namespace moesaic::inline MOESAIC_ABI::tune {

/// How products are made and added (cpu/engine/). All decode weights exactly.
enum class cpu_engine {
  fp32_exact,    // fp32, on every target
  fp16_chunked,  // fp16, promoted to fp32 every `promote` products: AVX512-FP16, Arm's half precision; E4M3 weights
  bf16_dot,      // bf16 pairs, added in fp32: AVX512-BF16; E4M3 or bf16 weights, rows that bf16 holds
  amx_bf16,      // the same on AMX tiles: AMX-BF16, and its caller asks Linux for them first (cpu/engine/amx_bf16.hpp)
};

/// A strip is 16 weight rows, a group four columns of it.
struct cpu_gemm_policy {
  cpu_engine engine;
  int skinny_rows;  ///< up to so many rows of an expert are multiplied while weights are decoded in registers; more share a decoded panel
  int skinny_sums;  ///< vectors of sums that are kept in registers meanwhile
  int panel_tile;   ///< rows that are summed in registers over a panel
  int panel_sums;   ///< vectors of sums that are kept in registers meanwhile
  int panel_rows;   ///< rows that share one decoded panel
  int prefetch_groups;  ///< how far ahead the skinny kernel asks for weights; a multiple of 16
  int promote = 64;     ///< fp16_chunked: products that are added in fp16; 16, 32 or 64
  int panel_ahead = 2;  ///< how many blocks ahead the panel kernel does: 2, the one behind the next, or more
};

enum class cpu_registers { sse_or_neon_16x4, avx2_16x8, avx512_32x16 };

#if defined(__AVX512F__) && defined(__AVX512BW__)
inline constexpr cpu_registers native_registers = cpu_registers::avx512_32x16;
#elif defined(__AVX2__) && defined(__F16C__)
inline constexpr cpu_registers native_registers = cpu_registers::avx2_16x8;
#else
inline constexpr cpu_registers native_registers = cpu_registers::sse_or_neon_16x4;
#endif

#if defined(__AVX512FP16__) || defined(__ARM_FEATURE_FP16_VECTOR_ARITHMETIC)
inline constexpr bool has_fp16_arithmetic = true;
#else
inline constexpr bool has_fp16_arithmetic = false;
#endif
#if defined(__AVX512BF16__) && defined(__AVX512BW__)
inline constexpr bool has_bf16_dot = true;
#else
inline constexpr bool has_bf16_dot = false;
#endif
#if defined(__AMX_BF16__) && defined(__AMX_TILE__) && defined(__AVX512BF16__) && defined(__AVX512BW__)
inline constexpr bool has_amx_bf16 = true;
#else
inline constexpr bool has_amx_bf16 = false;
#endif

/// The defaults of the machine that this file is compiled for.
struct native {
  /// Whether prepare() copies weights into the order in which kernels read them. Otherwise they are read as the caller has them, mapped
  /// from a file say: no second copy, the same bits, slower.
  static constexpr bool packs = true;

  /// Up to so many tokens the step down adds up each token's rows as well: one dispatch less, and one stream of weights. Hidden rows are
  /// then read again for every 128 outputs, so they have to stay in a cache.
  static constexpr std::int64_t combined_tokens = 16;

  /// Rows of f32 or E4M3 are multiplied in fp32; rows of fp16 in fp16 and rows of bf16 by bf16 products, where the processor is fast at it,
  /// in fp32 elsewhere. (A processor with fp16 arithmetic does half as many bf16 products as fp32 ones: Sapphire Rapids and later.) AMX
  /// only for who asks for it: a program needs the system's permission, and the engine has not been run yet.
  static constexpr cpu_engine engine(activation_format a, weight_format w) {
    if (a == activation_format::fp16 && w == weight_format::e4m3_128x128 && has_fp16_arithmetic) return cpu_engine::fp16_chunked;
    if (a == activation_format::bf16 && w != weight_format::f32 && has_bf16_dot && !has_fp16_arithmetic) return cpu_engine::bf16_dot;
    return cpu_engine::fp32_exact;
  }

  static constexpr cpu_gemm_policy gemm(cpu_engine e) {
    bool const wide = native_registers == cpu_registers::avx512_32x16;
    switch (e) {
      // Emerald Rapids, measured (docs/cpu.md).
      case cpu_engine::fp16_chunked: return wide ? cpu_gemm_policy{e, 6, 24, 14, 28, 48, 16} : cpu_gemm_policy{e, 2, 16, 4, 16, 48, 16};
      // Zen 5: what prototypes there found best (2 KB ahead; 1 KB is harmful). Not measured with these kernels.
      case cpu_engine::bf16_dot: return {e, 6, 24, 12, 24, 48, 32};
      // Tiles of 16 rows and 16 weight rows: never run.
      case cpu_engine::amx_bf16: return {e, 0, 0, 16, 16, 48, 16};
      case cpu_engine::fp32_exact: break;
    }
    // Emerald Rapids, measured, as is its AVX2 build; the last is what fits the registers.
    if (wide) return {e, 4, 24, 14, 28, 48, 16};
    if (native_registers == cpu_registers::avx2_16x8) return {e, 2, 16, 3, 12, 48, 16};
    return {e, 1, 8, 1, 8, 48, 16};
  }
};

}  // namespace moesaic::inline MOESAIC_ABI::tune
