// The engine fp16_chunked: E4M3 weights times fp16 rows, products added in fp16 and promoted to fp32 every so many columns. Twice the rate
// of fp32 and half its decoding; for AVX512-FP16 and for Arm's half precision.
#pragma once

#include <cstdint>

#include <moesaic/cpu/pack.hpp>
#include <moesaic/cpu/vec.hpp>
#include <moesaic/num/fp16.hpp>

namespace moesaic::inline MOESAIC_ABI::cpu::detail {

#if defined(__AVX512FP16__) || defined(__ARM_FEATURE_FP16_VECTOR_ARITHMETIC)

/// See fp32_exact for the members. Each output has two sums, of the even and of the odd columns, of at most `Promote` products each; rows
/// are scaled so that no sum overflows (fp16_block_scale in cpu/rows.hpp).
template <int Promote>
struct fp16_chunked {
  static_assert(Promote == 16 || Promote == 32 || Promote == 64, "products are promoted within a block of 128 columns");
  using element = fp16;
  using weight = halves;
  using sum = halves;

  static constexpr int weights = group_elements / (2 * lanes);
  static constexpr int steps = 2;
  static constexpr int sums = weights / steps;
  static constexpr int totals = 2 * sums;
  static constexpr int chunk = Promote / 2;
  static constexpr float unit = 256.0F;

  MOESAIC_INLINE static halves multiplier(fp16 const* a, int step) { return broadcast_halves(a + 2 * step); }

  MOESAIC_INLINE static void load(std::uint8_t const* code, halves* w) { e4m3_to_fp16(code, w); }

  MOESAIC_INLINE static void multiply_add(halves a, halves w, halves& s) {
#if defined(__aarch64__)
    __asm__("fmla %0.8h, %1.8h, %2.8h" : "+w"(s) : "w"(w), "w"(a));
#else
    __asm__("vfmadd231ph {%2, %1, %0|%0, %1, %2}" : "+v"(s) : "v"(w), "v"(a));
#endif
  }

  MOESAIC_INLINE static void promote(halves const* s, vec scale, vec* total) {
    alignas(64) halves stored[sums];
    for (int i = 0; i < sums; ++i) stored[i] = s[i];
    for (int i = 0; i < totals; ++i) add_product(widen(reinterpret_cast<std::uint16_t const*>(stored) + i * lanes), scale, total[i]);
  }

  MOESAIC_INLINE static void finish(vec const* total, float* out) { add_pairs(total, out); }
};

#endif

}  // namespace moesaic::inline MOESAIC_ABI::cpu::detail
