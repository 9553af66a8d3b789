// The engine bf16_dot: E4M3 or bf16 weights times bf16 rows by AVX512-BF16's dot product of pairs, sums in fp32. As exact as fp32_exact;
// twice its rate on Zen 4 and 5, half of it on Sapphire Rapids and its successors.
#pragma once

#include <cstdint>

#include <moesaic/cpu/engine/fp32_exact.hpp>
#include <moesaic/cpu/pack.hpp>
#include <moesaic/cpu/vec.hpp>
#include <moesaic/num/bf16.hpp>
#include <moesaic/num/e4m3.hpp>

namespace moesaic::inline MOESAIC_ABI::cpu::detail {

#if defined(__AVX512BF16__) && defined(__AVX512BW__)

/// The two bytes of value / 256 in bf16 for the 128 codes without sign; NaN's code gives 480 / 256.
struct e4m3_bf16_bytes {
  alignas(64) std::uint8_t low[128], high[128];
  constexpr e4m3_bf16_bytes() : low(), high() {
    for (int c = 0; c < 128; ++c) {
      float const value = c == 127 ? 480.0F : e4m3_to_float(static_cast<std::uint8_t>(c));
      std::uint16_t const b = to_bf16(value / 256.0F).bits;
      low[c] = static_cast<std::uint8_t>(b);
      high[c] = static_cast<std::uint8_t>(b >> 8);
    }
  }
};
inline constexpr e4m3_bf16_bytes e4m3_as_bf16{};

/// See fp32_exact for the members. One sum an output: the instruction adds the odd column of a pair, then the even one, by fma, with
/// denormal operands and results taken for zero.
template <weight_format F>
struct bf16_dot {
  using element = bf16;
  using weight = halves;
  using sum = vec;

  static constexpr int weights = 2;
  static constexpr int steps = 2;
  static constexpr int sums = 1;
  static constexpr int totals = 1;
  static constexpr int chunk = block_groups;
  static constexpr float unit = F == weight_format::e4m3_128x128 ? 256.0F : 1.0F;

  MOESAIC_INLINE static halves multiplier(bf16 const* a, int step) { return broadcast_halves(a + 2 * step); }

  MOESAIC_INLINE static void multiply_add(halves a, halves w, vec& s) {
    __asm__("vdpbf16ps {%2, %1, %0|%0, %1, %2}" : "+v"(s) : "v"(w), "v"(a));
  }

  MOESAIC_INLINE static void promote(vec const* s, vec scale, vec* total) { add_product(*s, scale, *total); }

  MOESAIC_INLINE static void finish(vec const* total, float* out) { store(*total, out); }

  MOESAIC_INLINE static void load(weight_code_t<F> const* code, halves* w) {
    if constexpr (F == weight_format::bf16) {
      for (int i = 0; i < weights; ++i) w[i] = reinterpret_cast<halves const*>(code)[i];
    } else {
#if defined(__AVX512VBMI__)
      using bytes = std::uint8_t __attribute__((vector_size(64), may_alias));
      bytes const x = *reinterpret_cast<bytes const*>(code);
      auto const look_up = [](bytes index, std::uint8_t const* table) {
        auto const* const t = reinterpret_cast<bytes const*>(table);
        __asm__("vpermi2b {%2, %1, %0|%0, %1, %2}" : "+v"(index) : "v"(t[0]), "v"(t[1]));
        return index;
      };
      halves const low = reinterpret_cast<halves>(look_up(x, e4m3_as_bf16.low));
      halves const high = reinterpret_cast<halves>(look_up(x, e4m3_as_bf16.high) | (x & 0x80));
      constexpr std::int16_t upper = static_cast<std::int16_t>(0xFF00);
      using words = std::uint16_t __attribute__((vector_size(64), may_alias));
      w[0] = (high << 8) | (low & static_cast<std::int16_t>(0x00FF));
      w[1] = (high & upper) | reinterpret_cast<halves>(reinterpret_cast<words>(low) >> 8);
#else
      if (__builtin_expect(!has_exponent_0(code), 1)) return e4m3_to_bf16_but_exponent_0(code, w);
      alignas(64) halves half[2];
      e4m3_to_fp16(code, half);
      for (int i = 0; i < 2; ++i) {  // numbers that bf16 holds: the upper halves of fp32 are all there is
        vec const lower = widen(reinterpret_cast<std::uint16_t const*>(half + i)),
                  upper = widen(reinterpret_cast<std::uint16_t const*>(half + i) + lanes);
        w[i] = __builtin_shufflevector(reinterpret_cast<halves>(lower), reinterpret_cast<halves>(upper), 1, 3, 5, 7, 9, 11, 13, 15, 17, 19,
                                       21, 23, 25, 27, 29, 31, 33, 35, 37, 39, 41, 43, 45, 47, 49, 51, 53, 55, 57, 59, 61, 63);
      }
#endif
    }
  }
};

#endif

}  // namespace moesaic::inline MOESAIC_ABI::cpu::detail
