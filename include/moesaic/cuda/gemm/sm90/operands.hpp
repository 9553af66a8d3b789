// What the Hopper grouped GEMM reads: rows of x and weights as tensor maps, scales as plain memory.
#pragma once

#include <cuda.h>

#include <cstdint>

#include <moesaic/config/weights.hpp>
#include <moesaic/cuda/tensor_map.hpp>
#include <moesaic/semantics/handoff.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::sm90 {

/// Weights of all experts for boxes of `Width` rows and 128 columns: one map if the experts lie one below another, else one map an expert
/// in device memory. Scales as a checkpoint has them.
struct weight_operand {
  CUtensorMap packed{};
  CUtensorMap const* per_expert = nullptr;
  expert_array<float> scales{};
  std::int32_t n = 0;

  __device__ CUtensorMap const* map(int e) const { return per_expert != nullptr ? per_expert + e : &packed; }
  __device__ std::int32_t row(int e, std::int32_t r) const { return per_expert != nullptr ? r : e * n + r; }
};

/// Rows of x in E4M3 with 1×128 scales, sorted by expert, for boxes of `box_rows` rows.
struct row_operand {
  CUtensorMap codes{};
  CUtensorMap scales{};
};

inline status make_row_operand(quantized_rows<float> const& x, int code_rows, int scale_rows, row_operand& out) {
  if (status const s = make_tensor_map("a.codes", {x.codes, x.rows, x.cols, x.cols, 1, code_rows, scale_block, true}, out.codes); !s)
    return s;
  return make_tensor_map("a.scales",
                         {x.scales, ceil_div(x.cols, scale_block), x.scale_stride, x.scale_stride * 4, 4, 1, scale_rows, false}, out.scales);
}

/// Experts that lie one below another: base + e · n · k.
inline status make_weight_operand(weight_matrices<weight_format::e4m3_128x128> const& w, int box_rows, weight_operand& out) {
  out.scales = w.scales;
  out.n = static_cast<std::int32_t>(w.n);
  return make_tensor_map("w.codes", {w.codes.base, w.experts * w.n, w.k, w.k, 1, box_rows, scale_block, true}, out.packed);
}

}  // namespace moesaic::inline MOESAIC_ABI::cuda::sm90
