// One group of a packed strip (16 weight rows × 4 columns) as fp32 vectors, per instruction set.
#pragma once

#include <cstdint>

#include <moesaic/cpu/pack.hpp>
#include <moesaic/semantics/gemm.hpp>
#include <moesaic/tune/cpu_gemm.hpp>

namespace moesaic::inline MOESAIC_ABI::cpu::detail {

/// fp32 lanes of a native vector.
inline constexpr int lanes = tune::native_registers == tune::cpu_registers::avx512_32x16 ? 16
                             : tune::native_registers == tune::cpu_registers::avx2_16x8  ? 8
                                                                                         : 4;
using vec = float __attribute__((vector_size(lanes * sizeof(float)), may_alias));

/// Vectors that a decoded group fills, and accumulators that a strip needs: each output has two, of the even and of the odd columns.
inline constexpr int group_vectors = group_elements / lanes;
inline constexpr int strip_sums = 2 * strip / lanes;

/// x in every lane: subtracting zero changes no number and leaves no instruction behind.
MOESAIC_INLINE vec broadcast(float x) { return x - vec{}; }

/// How format F is decoded here. Vector i of a group is multiplied by multiplier(a, i) and added to sum i % strip_sums.
///  pairs     a vector holds two neighbouring columns of each of its rows, as the two lanes of a pair (E4M3 where fp16 can be widened)
///  !pairs    a vector holds one column
///  unit      what a decoded weight is worth: the true value is decoded · unit
template <weight_format F>
struct group_decoder {
  static constexpr bool wide = lanes > 4;
  static constexpr bool pairs = F == weight_format::e4m3_128x128 && wide;
  static constexpr float unit = pairs ? 256.0F : 1.0F;

  MOESAIC_INLINE static vec multiplier(float const* a, int i) {
    if constexpr (pairs) {
      double pair;
      __builtin_memcpy(&pair, a + i / strip_sums * 2, sizeof pair);
      using doubles = double __attribute__((vector_size(lanes * sizeof(float))));
      return reinterpret_cast<vec>(pair - doubles{});  // as broadcast
    }
    return broadcast(a[i / (strip_sums / 2)]);
  }

  MOESAIC_INLINE static void load(weight_code_t<F> const* code, vec* w) {
    if constexpr (F == weight_format::f32) {
      for (int i = 0; i < group_vectors; ++i) w[i] = reinterpret_cast<vec const*>(code)[i];
    } else if constexpr (F == weight_format::bf16) {
      // A 32-bit lane is a row's pair of columns: the low half moved up is the even one, the high half as it is the odd one.
      using bits = std::uint32_t __attribute__((vector_size(lanes * sizeof(float)), may_alias));
      constexpr int half = strip_sums / 2;
      for (int line = 0; line < 2; ++line)
        for (int h = 0; h < half; ++h) {
          bits const x = reinterpret_cast<bits const*>(code)[line * half + h];
          w[line * strip_sums + h] = reinterpret_cast<vec>(x << 16);
          w[line * strip_sums + half + h] = reinterpret_cast<vec>(x & 0xFFFF0000U);
        }
    } else {
      load_e4m3(code, w);
    }
  }

  /// out[0 … 16) = the even sums + the odd sums.
  MOESAIC_INLINE static void finish(vec const* sum, float* out) {
    if constexpr (pairs) {
      float const* const s = reinterpret_cast<float const*>(sum);
      for (int n = 0; n < strip; ++n) out[n] = s[2 * n] + s[2 * n + 1];
    } else {
      for (int h = 0; h < strip_sums / 2; ++h) reinterpret_cast<vec*>(out)[h] = sum[h] + sum[h + strip_sums / 2];
    }
  }

 private:
  /// E4M3 moved into fp16: the arithmetic shift puts sign, exponent and mantissa into their places, the mask clears what does not belong
  /// there. The biases differ by 8, so the number is the value / 256, subnormal codes included; hardware widens it exactly. NaN codes give
  /// ±480. Widening from memory costs one operation where widening a register costs two and a shuffle: so the halves go through L1. The
  /// one instruction is written out, because the header that has it is 39,000 lines long.
  MOESAIC_INLINE static void load_e4m3(std::uint8_t const* code, vec* w) {
#if defined(__AVX2__) && defined(__F16C__)
    using halves = short __attribute__((vector_size(lanes * sizeof(float)), may_alias));
    using half_vector = short __attribute__((vector_size(lanes * sizeof(short)), may_alias));
    constexpr int registers = group_elements / (lanes * 4);
    alignas(64) short half[group_elements];
    for (int r = 0; r < registers; ++r) {
      halves const x = reinterpret_cast<halves const*>(code)[r];
      reinterpret_cast<halves*>(half)[r] = ((x << 8) >> 1) & static_cast<short>(0xBF80);
      reinterpret_cast<halves*>(half)[registers + r] = (x >> 1) & static_cast<short>(0xBF80);
    }
    for (int i = 0; i < group_vectors; ++i)
      __asm__("vcvtph2ps {%1, %0|%0, %1}" : "=v"(w[i]) : "m"(reinterpret_cast<half_vector const*>(half)[i]));
#else
    // No fp16 to widen: exponent and mantissa are moved into place and the difference of the biases added; codes with exponent 0 get an
    // implicit one that is subtracted again, so that no denormal number occurs.
    float* const to = reinterpret_cast<float*>(w);
    for (int j = 0; j < group_columns; ++j) {
      MOESAIC_SIMD
      for (int n = 0; n < strip; ++n) {
        std::uint32_t const c = code[place_in_group<weight_format::e4m3_128x128>(n, j)];
        std::uint32_t const magnitude = (c & 0x7FU) << 20;
        std::uint32_t const subnormal = magnitude < (1U << 23) ? ~0U : 0U;
        float const value = from_bits(magnitude + (120U << 23) + (subnormal & (1U << 23))) - from_bits(subnormal & (121U << 23));
        to[j * strip + n] = from_bits(to_bits(value) | (c & 0x80U) << 24);
      }
    }
#endif
  }
};

}  // namespace moesaic::inline MOESAIC_ABI::cpu::detail
