// Which kernels the CUDA backend takes, as types: cuda::on<tune::sm90a>{stream}. A later architecture runs an earlier one's portable
// kernels.
#pragma once

#include <moesaic/core/macros.hpp>

namespace moesaic::inline MOESAIC_ABI::tune {

/// mma.sync: every GPU from compute capability 8.0 on. The default.
struct sm80 {
  static constexpr int compute_capability = 80;
};

/// Hopper (H100, H200, GH200): what sm80 has, and wgmma on tiles that TMA brings for E4M3 rows and weights. Runs on compute capability 9.0
/// and on no other, and its files have to be compiled for sm_90a.
struct sm90a : sm80 {
  static constexpr int compute_capability = 90;
  /// SwiGLU between the wgmma GEMMs by the hardware's exp2 and reciprocal. The exact one costs the first GEMM 12 % of its rate in prefill
  /// (measured on an H200): a struct that inherits from this one and says false has it.
  static constexpr bool fast_activation = true;
  /// The step up gathers the rows of tokens itself, so that the front writes each once and not once a slot: 1/9 of the memory for x with
  /// eight experts and a shared one. Its producer then copies by cp.async what TMA brings otherwise. Which is faster has not been measured.
  static constexpr bool gathers = false;
};

}  // namespace moesaic::inline MOESAIC_ABI::tune
