// The instruction set extensions that this very file is compiled for, as a number in seven hex digits: it is part of every name
// (core/macros.hpp), and it is what cpu/requires.hpp asks the processor for. Listed are those that compilers emit on their own (AMX
// is not: a kernel that uses it has to ask the operating system anyway).
#pragma once

// 1 where the macro is defined as 1 (or as a later version, 2 or 3), 0 where it is not defined; then four of these as a hex digit.
#define MOESAIC_BIT(macro) MOESAIC_BIT_1(macro)
#define MOESAIC_BIT_1(value) MOESAIC_BIT_2(MOESAIC_SHIFT_##value)
#define MOESAIC_BIT_2(shift) MOESAIC_BIT_3(shift 1, 0, 0)
#define MOESAIC_BIT_3(first, second, ...) second
#define MOESAIC_SHIFT_1 0,
#define MOESAIC_SHIFT_2 0,
#define MOESAIC_SHIFT_3 0,
#define MOESAIC_DIGIT(a, b, c, d) MOESAIC_DIGIT_1(MOESAIC_BIT(a), MOESAIC_BIT(b), MOESAIC_BIT(c), MOESAIC_BIT(d))
#define MOESAIC_DIGIT_1(a, b, c, d) MOESAIC_DIGIT_2(a, b, c, d)
#define MOESAIC_DIGIT_2(a, b, c, d) MOESAIC_DIGIT_##a##b##c##d
#define MOESAIC_DIGIT_0000 0
#define MOESAIC_DIGIT_0001 1
#define MOESAIC_DIGIT_0010 2
#define MOESAIC_DIGIT_0011 3
#define MOESAIC_DIGIT_0100 4
#define MOESAIC_DIGIT_0101 5
#define MOESAIC_DIGIT_0110 6
#define MOESAIC_DIGIT_0111 7
#define MOESAIC_DIGIT_1000 8
#define MOESAIC_DIGIT_1001 9
#define MOESAIC_DIGIT_1010 a
#define MOESAIC_DIGIT_1011 b
#define MOESAIC_DIGIT_1100 c
#define MOESAIC_DIGIT_1101 d
#define MOESAIC_DIGIT_1110 e
#define MOESAIC_DIGIT_1111 f
#define MOESAIC_JOIN(...) MOESAIC_JOIN_1(__VA_ARGS__)
#define MOESAIC_JOIN_1(a, b, c, d, e, f, g, h, i, j) a##b##c##d##e##f##g##h##i##j

// The highest bit of a digit first; cpu/requires.hpp has the same order from bit 0 upwards.
#define MOESAIC_X86_6 MOESAIC_DIGIT(__AVX512FP16__, __AVX512BF16__, __AVX512VPOPCNTDQ__, __AVX512BITALG__)
#define MOESAIC_X86_5 MOESAIC_DIGIT(__AVX512VNNI__, __AVX512VBMI2__, __AVX512VBMI__, __AVX512IFMA__)
#define MOESAIC_X86_4 MOESAIC_DIGIT(__AVX512VL__, __AVX512DQ__, __AVX512BW__, __AVX512CD__)
#define MOESAIC_X86_3 MOESAIC_DIGIT(__AVX512F__, __GFNI__, __AVXVNNI__, __AVX2__)
#define MOESAIC_X86_2 MOESAIC_DIGIT(__FMA__, __F16C__, __AVX__, __MOVBE__)
#define MOESAIC_X86_1 MOESAIC_DIGIT(__BMI2__, __BMI__, __LZCNT__, __POPCNT__)
#define MOESAIC_X86_0 MOESAIC_DIGIT(__SSE4_2__, __SSE4_1__, __SSSE3__, __SSE3__)

// BF16: g++ 12 defines this macro, and not __ARM_FEATURE_BF16.
#define MOESAIC_ARM_2 MOESAIC_DIGIT(__ARM_FEATURE_RCPC, __ARM_FEATURE_MOPS, __ARM_FEATURE_COMPLEX, __ARM_FEATURE_ATOMICS)
#define MOESAIC_ARM_1 MOESAIC_DIGIT(__ARM_FEATURE_SVE2, __ARM_FEATURE_SVE, __ARM_FEATURE_MATMUL_INT8, __ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
#define MOESAIC_ARM_0 MOESAIC_DIGIT(__ARM_FEATURE_FP16_VECTOR_ARITHMETIC, __ARM_FEATURE_DOTPROD, __ARM_FEATURE_FMA, __ARM_NEON)

// MOESAIC_INSTRUCTIONS(v, 100, _x) is one token: v100_x and the digits.
#if defined(__ARM_ARCH)
#define MOESAIC_INSTRUCTIONS(...) MOESAIC_JOIN(__VA_ARGS__, 0, 0, 0, 0, MOESAIC_ARM_2, MOESAIC_ARM_1, MOESAIC_ARM_0)
#else
#define MOESAIC_INSTRUCTIONS(...) \
  MOESAIC_JOIN(__VA_ARGS__, MOESAIC_X86_6, MOESAIC_X86_5, MOESAIC_X86_4, MOESAIC_X86_3, MOESAIC_X86_2, MOESAIC_X86_1, MOESAIC_X86_0)
#endif
