// The engine fp32_exact: products and sums in fp32, on vectors of whatever width the target has.
#pragma once

#include <cstdint>

#include <moesaic/cpu/pack.hpp>
#include <moesaic/cpu/vec.hpp>
#include <moesaic/semantics/gemm.hpp>

namespace moesaic::inline MOESAIC_ABI::cpu::detail {

/// An engine: how a group of a packed strip (16 weight rows × 4 columns) is decoded, multiplied by the same columns of a row, and added.
///  element      what it reads rows as
///  weight, sum  vectors of decoded weights (and of multipliers), and of sums
///  weights      vectors of a decoded group: `steps` times the same number, each time multiplied by one multiplier
///  sums         vectors of sums of a strip; vector i of a group is added to sum i % sums
///  chunk        groups that are added before the sums are promoted: multiplied by their scale and added to `totals` vectors of fp32
///  unit         what a decoded weight is worth: the true value is decoded · unit
/// Here each output has two sums, of the even and of the odd columns.
template <weight_format F>
struct fp32_exact {
  using element = float;
  using weight = vec;
  using sum = vec;

  /// A vector holds two neighbouring columns of each of its rows, as the two lanes of a pair (E4M3 where fp16 can be widened), or else one.
  static constexpr bool pairs = F == weight_format::e4m3_128x128 && MOESAIC_HAS_HALVES;
  static constexpr int weights = group_elements / lanes;
  static constexpr int steps = pairs ? 2 : 4;
  static constexpr int sums = 2 * strip / lanes;
  static constexpr int totals = sums;
  static constexpr int chunk = block_groups;
  static constexpr float unit = pairs ? 256.0F : 1.0F;

  MOESAIC_INLINE static vec multiplier(float const* a, int step) {
    if constexpr (pairs)
      return reinterpret_cast<vec>(broadcast_pair(a + 2 * step));
    else
      return broadcast(a[step]);
  }

  MOESAIC_INLINE static void multiply_add(vec a, vec w, vec& s) { add_product(a, w, s); }

  MOESAIC_INLINE static void promote(vec const* s, vec scale, vec* total) {
    for (int i = 0; i < totals; ++i) add_product(s[i], scale, total[i]);
  }

  MOESAIC_INLINE static void load(weight_code_t<F> const* code, vec* w) {
    if constexpr (F == weight_format::f32) {
      for (int i = 0; i < weights; ++i) w[i] = reinterpret_cast<vec const*>(code)[i];
    } else if constexpr (F == weight_format::bf16) {
      // A 32-bit lane is a row's pair of columns: the low half moved up is the even one, the high half as it is the odd one.
      constexpr int half = sums / 2;
      for (int line = 0; line < 2; ++line)
        for (int h = 0; h < half; ++h) {
          bits const x = reinterpret_cast<bits const*>(code)[line * half + h];
          w[line * sums + h] = reinterpret_cast<vec>(x << 16);
          w[line * sums + half + h] = reinterpret_cast<vec>(x & 0xFFFF0000U);
        }
    } else {
      load_e4m3(code, w);
    }
  }

  /// out[0 … 16) = the even sums + the odd sums.
  MOESAIC_INLINE static void finish(vec const* total, float* out) {
#if defined(__AVX512BW__)
    if constexpr (pairs) return store(add_pairs_of_widened(total), out);
#endif
    if constexpr (pairs)
      add_pairs(total, out);
    else
      for (int h = 0; h < totals / 2; ++h) store(total[h] + total[h + totals / 2], out + h * lanes);
  }

 private:
  MOESAIC_INLINE static void load_e4m3(std::uint8_t const* code, vec* w) {
#if defined(__AVX512BW__)
    if (__builtin_expect(has_exponent_0(code), 0)) {
      alignas(64) halves half[2];
      e4m3_to_fp16(code, half);
      for (int i = 0; i < 2; ++i) half[i] = in_widened_order(half[i]);
      for (int i = 0; i < weights; ++i) w[i] = widen(reinterpret_cast<std::uint16_t const*>(half) + i * lanes);
      return;
    }
    halves word[2];
    e4m3_to_bf16_but_exponent_0(code, word);
    for (int i = 0; i < 2; ++i) widen_bf16(word[i], w + 2 * i);
#elif MOESAIC_HAS_HALVES
    // Widening takes its fp16 from the lower half of a register or from memory: through L1 no half has to be moved down.
    constexpr int registers = group_elements / (lanes * 4);
    alignas(64) halves half[2 * registers];
    e4m3_to_fp16(code, half);
    for (int i = 0; i < weights; ++i) w[i] = widen(reinterpret_cast<std::uint16_t const*>(half) + i * lanes);
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
