// What a file was compiled for, and whether this processor has it. A program that asks before it calls its kernels says one line where it
// would die of SIGILL:
//
//   kernels.cpp, with -march=…    extern std::uint32_t const kernels_built_for = moesaic::cpu::built_for;
//   main.cpp, without             if (auto const missing = moesaic::cpu::missing_on_this_processor(kernels_built_for)) {
//                                   std::fprintf(stderr, "%s\n", moesaic::cpu::describe_missing(missing).c_str());
//                                   return 1;
//                                 }
//
// The question has to be asked by a file that any processor can run. Instruction sets are part of every name, so that file has functions of
// its own, whatever the kernels' files have.
#pragma once

#include <cstdint>

#include <moesaic/core/macros.hpp>
#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace moesaic::inline MOESAIC_ABI::cpu {

/// The instruction set extensions that this file is compiled for: a bit each, in the order of detail::extensions.
inline constexpr std::uint32_t built_for = MOESAIC_INSTRUCTIONS(0, x, );

namespace detail {

#if defined(__ARM_ARCH)
/// An extension by the name that Linux gives it in /proc/cpuinfo: bit `bit` of AT_HWCAP (word 0) or AT_HWCAP2 (word 1).
struct extension {
  char name[17];
  int word, bit;
};

inline constexpr extension extensions[] = {
    {"asimd", 0, 1}, {"fp", 0, 0},   {"asimddp", 0, 20}, {"asimdhp", 0, 10}, {"bf16", 1, 14}, {"i8mm", 1, 13},
    {"sve", 0, 22},  {"sve2", 1, 1}, {"atomics", 0, 8},  {"fcma", 0, 14},    {"mops", 1, 43}, {"lrcpc", 0, 15},
};
#else
/// An extension by the name that Linux gives it in /proc/cpuinfo: bit `bit` of register `reg` (eax, ebx, ecx, edx) of a cpuid leaf, and the
/// states that the operating system must save (bits of XCR0; 6: ymm, 0xe6: zmm and masks too).
struct extension {
  char name[17];
  std::uint32_t leaf, subleaf;
  int reg, bit;
  std::uint32_t state;
};

inline constexpr extension extensions[] = {
    {"pni", 1, 0, 2, 0, 0},
    {"ssse3", 1, 0, 2, 9, 0},
    {"sse4_1", 1, 0, 2, 19, 0},
    {"sse4_2", 1, 0, 2, 20, 0},
    {"popcnt", 1, 0, 2, 23, 0},
    {"abm", 0x80000001, 0, 2, 5, 0},
    {"bmi1", 7, 0, 1, 3, 0},
    {"bmi2", 7, 0, 1, 8, 0},
    {"movbe", 1, 0, 2, 22, 0},
    {"avx", 1, 0, 2, 28, 6},
    {"f16c", 1, 0, 2, 29, 6},
    {"fma", 1, 0, 2, 12, 6},
    {"avx2", 7, 0, 1, 5, 6},
    {"avx_vnni", 7, 1, 0, 4, 6},
    {"gfni", 7, 0, 2, 8, 0},
    {"avx512f", 7, 0, 1, 16, 0xe6},
    {"avx512cd", 7, 0, 1, 28, 0xe6},
    {"avx512bw", 7, 0, 1, 30, 0xe6},
    {"avx512dq", 7, 0, 1, 17, 0xe6},
    {"avx512vl", 7, 0, 1, 31, 0xe6},
    {"avx512ifma", 7, 0, 1, 21, 0xe6},
    {"avx512vbmi", 7, 0, 2, 1, 0xe6},
    {"avx512_vbmi2", 7, 0, 2, 6, 0xe6},
    {"avx512_vnni", 7, 0, 2, 11, 0xe6},
    {"avx512_bitalg", 7, 0, 2, 12, 0xe6},
    {"avx512_vpopcntdq", 7, 0, 2, 14, 0xe6},
    {"avx512_bf16", 7, 1, 0, 5, 0xe6},
    {"avx512_fp16", 7, 0, 3, 23, 0xe6},
};
#endif
inline constexpr int extension_count = sizeof(extensions) / sizeof(extension);

}  // namespace detail

/// Those of the extensions in `mask` that this processor, or its operating system, does not have; 0 where all is well. Every call asks:
/// x86 the processor, aarch64 Linux. Others are not asked: 0.
inline std::uint32_t missing_on_this_processor([[maybe_unused]] std::uint32_t mask) {
#if defined(__x86_64__) || defined(__i386__)
  std::uint32_t r[4] = {}, saved = 0;
  if (__get_cpuid(1, &r[0], &r[1], &r[2], &r[3]) != 0 && (r[2] >> 27 & 1U) != 0) {  // OSXSAVE: xgetbv may be asked
    std::uint32_t high = 0;
    __asm__("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
  }
  for (int i = 0; i < detail::extension_count; ++i) {
    detail::extension const& e = detail::extensions[i];
    bool const known = __get_cpuid_count(e.leaf, e.subleaf, &r[0], &r[1], &r[2], &r[3]) != 0;
    if (known && (r[e.reg] >> e.bit & 1U) != 0 && (saved & e.state) == e.state) mask &= ~(1U << i);
  }
  return mask;
#elif defined(__aarch64__) && defined(__linux__)
  std::uint64_t const has[] = {getauxval(AT_HWCAP), getauxval(AT_HWCAP2)};
  for (int i = 0; i < detail::extension_count; ++i)
    if ((has[detail::extensions[i].word] >> detail::extensions[i].bit & 1U) != 0) mask &= ~(1U << i);
  return mask;
#else
  return 0;
#endif
}

/// One line, zero-terminated, without its end.
struct missing_text {
  char text[384] = {};
  constexpr char const* c_str() const { return text; }
};

/// What missing_on_this_processor answered, as the line that a user reads.
constexpr missing_text describe_missing(std::uint32_t missing) {
  missing_text out;
  int at = 0;
  auto put = [&](char const* c) {
    while (*c != '\0') out.text[at++] = *c++;
  };
  if (missing == 0) return put("moesaic: this processor has all that this program was built for"), out;
  put("moesaic: this program was built for ");
  for (int i = 0; i < 32; ++i) {
    if ((missing >> i & 1U) == 0) continue;
    put(i < detail::extension_count ? detail::extensions[i].name : "unknown");
    put((missing >> i >> 1) != 0 ? ", " : "");
  }
  put(", which this processor does not have");
  return out;
}

}  // namespace moesaic::inline MOESAIC_ABI::cpu
