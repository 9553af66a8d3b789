// Native vectors, and the few operations on them that the engines share. Vector extensions of GCC and clang do the rest; instructions that
// these cannot say are written out, because the header that has them is 39,000 lines long.
#pragma once

#include <cstdint>
#include <utility>

#include <moesaic/cpu/pack.hpp>
#include <moesaic/tune/cpu_gemm.hpp>

namespace moesaic::inline MOESAIC_ABI::cpu::detail {

/// fp32 lanes of a native vector.
inline constexpr int lanes = tune::native_registers == tune::cpu_registers::avx512_32x16 ? 16
                             : tune::native_registers == tune::cpu_registers::avx2_16x8  ? 8
                                                                                         : 4;
using vec = float __attribute__((vector_size(lanes * sizeof(float)), may_alias));
using bits = std::uint32_t __attribute__((vector_size(lanes * sizeof(float)), may_alias));
using doubles = double __attribute__((vector_size(lanes * sizeof(float)), may_alias));
using halves = std::int16_t __attribute__((vector_size(lanes * sizeof(float)), may_alias));

/// x in every lane: subtracting zero changes no number and leaves no instruction behind.
MOESAIC_INLINE vec broadcast(float x) { return x - vec{}; }

/// sum += a · b in one rounding, where the target has the instruction: whatever the optimiser is told about contraction.
MOESAIC_INLINE void add_product(vec a, vec b, vec& sum) {
#if defined(__FMA__)
  __asm__("vfmadd231ps {%2, %1, %0|%0, %1, %2}" : "+v"(sum) : "v"(b), "v"(a));
#elif defined(__aarch64__)
  __asm__("fmla %0.4s, %1.4s, %2.4s" : "+w"(sum) : "w"(b), "w"(a));
#else
  sum = a * b + sum;
#endif
}

/// Two neighbouring fp32, or two neighbouring 16-bit numbers, in every pair of lanes.
MOESAIC_INLINE doubles broadcast_pair(float const* at) {
  double pair;
  __builtin_memcpy(&pair, at, sizeof pair);
  return pair - doubles{};
}
template <class Half>
MOESAIC_INLINE halves broadcast_halves(Half const* at) {
  static_assert(sizeof(Half) == 2);
  std::uint32_t pair;
  __builtin_memcpy(&pair, at, sizeof pair);
  return reinterpret_cast<halves>(pair - bits{});
}

#if (defined(__AVX2__) && defined(__F16C__)) || defined(__aarch64__)
#define MOESAIC_HAS_HALVES 1

/// A group's codes as fp16 of value / 256: first its even bytes (columns 0 and 1 of each row, by turns), then its odd ones (columns 2, 3).
/// The arithmetic shift puts sign, exponent and mantissa into their places, the mask clears what does not belong there; the biases differ
/// by 8. Exact, subnormal codes included. NaN codes give ±480 / 256.
MOESAIC_INLINE void e4m3_to_fp16(std::uint8_t const* code, halves* to) {
  constexpr int registers = group_elements / (lanes * 4);
  for (int r = 0; r < registers; ++r) {
    halves const x = reinterpret_cast<halves const*>(code)[r];
    to[r] = ((x << 8) >> 1) & static_cast<std::int16_t>(0xBF80);
    to[registers + r] = (x >> 1) & static_cast<std::int16_t>(0xBF80);
  }
}

/// `lanes` fp16 numbers as fp32.
MOESAIC_INLINE vec widen(std::uint16_t const* at) {
  using half_vector = std::int16_t __attribute__((vector_size(lanes * sizeof(std::int16_t)), may_alias));
  vec w;
#if defined(__aarch64__)
  __asm__("fcvtl %0.4s, %1.4h" : "=w"(w) : "w"(*reinterpret_cast<half_vector const*>(at)));
#else
  __asm__("vcvtph2ps {%1, %0|%0, %1}" : "=v"(w) : "m"(*reinterpret_cast<half_vector const*>(at)));
#endif
  return w;
}

/// `lanes` fp32 numbers as fp16, rounded to nearest, ties to even.
MOESAIC_INLINE void narrow(vec x, std::uint16_t* to) {
  using half_vector = std::int16_t __attribute__((vector_size(lanes * sizeof(std::int16_t)), may_alias));
#if defined(__aarch64__)
  __asm__("fcvtn %0.4h, %1.4s" : "=w"(*reinterpret_cast<half_vector*>(to)) : "w"(x));
#else
  __asm__("vcvtps2ph {$0, %1, %0|%0, %1, 0}" : "=m"(*reinterpret_cast<half_vector*>(to)) : "v"(x));
#endif
}
#else
#define MOESAIC_HAS_HALVES 0
#endif

#if defined(__AVX512BW__)
/// Whether one of 64 codes has the exponent 0: a zero or a subnormal number.
MOESAIC_INLINE bool has_exponent_0(std::uint8_t const* code) {
  using bytes = std::uint8_t __attribute__((vector_size(64), may_alias));
  bytes const exponent = bytes{} + static_cast<std::uint8_t>(0x78);
  std::uint64_t zero;
  __asm__("vptestnmb {%2, %1, %0|%0, %1, %2}" : "=k"(zero) : "v"(*reinterpret_cast<bytes const*>(code)), "v"(exponent));
  return zero != 0;
}

/// 64 codes as bf16 of value / 256, in the order of e4m3_to_fp16: exact, but wrong for codes of exponent 0. Sign, exponent and mantissa are
/// moved into place, and the difference of the biases, 112, is added by or, since no exponent reaches its bits.
MOESAIC_INLINE void e4m3_to_bf16_but_exponent_0(std::uint8_t const* code, halves* to) {
  halves const x = *reinterpret_cast<halves const*>(code);
  constexpr std::int16_t number = static_cast<std::int16_t>(0x87F0), bias = 112 << 7;
  to[0] = (((x << 8) >> 4) & number) | bias;
  to[1] = ((x >> 4) & number) | bias;
}

/// 32 bf16 numbers, pairs of neighbours, as fp32: w[0] the first two pairs of each quarter, w[1] the last two. One operation each, where
/// widening fp16 takes two.
MOESAIC_INLINE void widen_bf16(halves x, vec* w) {
  w[0] = reinterpret_cast<vec>(__builtin_shufflevector(halves{}, x, 0, 32, 1, 33, 2, 34, 3, 35, 8, 40, 9, 41, 10, 42, 11, 43, 16, 48, 17,
                                                       49, 18, 50, 19, 51, 24, 56, 25, 57, 26, 58, 27, 59));
  w[1] = reinterpret_cast<vec>(__builtin_shufflevector(halves{}, x, 4, 36, 5, 37, 6, 38, 7, 39, 12, 44, 13, 45, 14, 46, 15, 47, 20, 52, 21,
                                                       53, 22, 54, 23, 55, 28, 60, 29, 61, 30, 62, 31, 63));
}

/// 32 numbers of 16 bits such that their halves are what widen_bf16 takes for w[0] and w[1].
MOESAIC_INLINE halves in_widened_order(halves x) {
  return reinterpret_cast<halves>(__builtin_shufflevector(reinterpret_cast<doubles>(x), doubles{}, 0, 2, 4, 6, 1, 3, 5, 7));
}

/// The sums of neighbours in the order that widen_bf16 has left.
MOESAIC_INLINE vec add_pairs_of_widened(vec const* total) {
  vec const even = __builtin_shufflevector(total[0], total[1], 0, 2, 16, 18, 4, 6, 20, 22, 8, 10, 24, 26, 12, 14, 28, 30);
  vec const odd = __builtin_shufflevector(total[0], total[1], 1, 3, 17, 19, 5, 7, 21, 23, 9, 11, 25, 27, 13, 15, 29, 31);
  return even + odd;
}
#endif

/// A caller's rows are not as aligned as ours.
MOESAIC_INLINE void store(vec x, float* to) { __builtin_memcpy(to, &x, sizeof x); }

template <int... Lane>
MOESAIC_INLINE vec add_neighbours(vec a, vec b, std::integer_sequence<int, Lane...>) {
  return __builtin_shufflevector(a, b, (2 * Lane)...) + __builtin_shufflevector(a, b, (2 * Lane + 1)...);
}

/// out[0 … 16) = the sums of neighbours.
MOESAIC_INLINE void add_pairs(vec const* total, float* out) {
  for (int i = 0; i < strip / lanes; ++i)
    store(add_neighbours(total[2 * i], total[2 * i + 1], std::make_integer_sequence<int, lanes>()), out + i * lanes);
}

}  // namespace moesaic::inline MOESAIC_ABI::cpu::detail
