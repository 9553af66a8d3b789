// Which engines this machine runs, of those that this file is compiled with, and layers that name one.
#pragma once

#include <moesaic/tune/cpu_gemm.hpp>

#if defined(__AMX_BF16__) && defined(__AMX_TILE__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

/// AMX-BF16 and AMX-TILE in the processor, and Linux's permission, which is asked for here.
inline bool has_amx_bf16_and_permission() {
#if defined(__AMX_BF16__) && defined(__AMX_TILE__) && defined(__linux__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d >> 22 & 1U) == 0 || (d >> 24 & 1U) == 0) return false;
  return syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18 /* tile data */) == 0;
#else
  return false;
#endif
}

inline bool runs_here(moesaic::tune::cpu_engine engine) {
  using e = moesaic::tune::cpu_engine;
  switch (engine) {
    case e::fp32_exact: return true;
    case e::fp16_chunked: return moesaic::tune::has_fp16_arithmetic;
    case e::bf16_dot: return moesaic::tune::has_bf16_dot;
    case e::amx_bf16: return moesaic::tune::has_amx_bf16 && has_amx_bf16_and_permission();
  }
  return false;
}

/// Of a layer, what decides which rows its engine reads.
template <moesaic::activation_format A, moesaic::weight_format W>
struct policy_of {
  static constexpr moesaic::layer_policy policy{.weights = W, .activations = A};
};
