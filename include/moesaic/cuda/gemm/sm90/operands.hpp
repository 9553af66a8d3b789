// What the Hopper grouped GEMM reads: rows of x and weights as tensor maps, scales as plain memory.
#pragma once

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <cstdint>

#include <moesaic/config/weights.hpp>
#include <moesaic/cuda/tensor_map.hpp>
#include <moesaic/semantics/handoff.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::sm90 {

/// Rows of x in E4M3 with 1×128 scales, sorted by expert.
struct row_operand {
  CUtensorMap codes{};
  CUtensorMap scales{};
};

/// For boxes of `code_rows` rows of codes and `scale_rows` scales; rows.cols a multiple of 16, codes and scales 16-byte aligned.
template <class Scale>
status make_row_operand(quantized_rows<Scale> const& x, int code_rows, int scale_rows, row_operand& out) {
  if (status const s = make_tensor_map("a.codes", {x.codes, x.rows, x.cols, x.cols, 1, code_rows, scale_block, true}, out.codes); !s)
    return s;
  return make_tensor_map("a.scales", {x.scales, ceil_div(x.cols, scale_block), x.scale_stride, x.scale_stride * 4, 4, 1, scale_rows, false},
                         out.scales);
}

/// Weights of all experts for boxes of 128 rows and 128 columns: one map if the experts lie one below another, else one map an expert in
/// device memory. Scales as a checkpoint has them.
struct weight_operand {
  static constexpr int box_rows = 128;

  CUtensorMap packed{};
  CUtensorMap const* per_expert = nullptr;
  expert_array<float> scales{};
  std::int32_t n = 0;

#if defined(__CUDACC__)
  __device__ CUtensorMap const* map(int e) const { return per_expert != nullptr ? per_expert + e : &packed; }
  __device__ std::int32_t row(int e, std::int32_t r) const { return per_expert != nullptr ? r : e * n + r; }
#endif
};

using e4m3_matrices = weight_matrices<weight_format::e4m3_128x128>;

/// Whether the wgmma kernels take matrices of this shape; others run on the portable kernels.
constexpr bool takes_shape(std::int64_t n, std::int64_t k) { return n > 0 && k > 0 && n % scale_block == 0 && k % scale_block == 0; }

/// Bytes of device memory that make_weight_operand may want.
constexpr std::size_t weight_operand_bytes(int experts) { return static_cast<std::size_t>(experts) * sizeof(CUtensorMap); }

/// Experts that lie one below another, base + e · n · k, need no memory. Others get a map each in `maps` (device memory, 64-byte aligned,
/// weight_operand_bytes(experts)): their pointers are read, and the maps written, by copies that are waited for. Codes are 16-byte aligned.
inline status make_weight_operand(e4m3_matrices const& w, void* maps, weight_operand& out) {
  out = {};
  out.scales = w.scales;
  out.n = static_cast<std::int32_t>(w.n);
  std::int64_t const row = w.row_stride != 0 ? w.row_stride : w.k;
  auto const map_of = [&](void const* data, std::int64_t rows, CUtensorMap& map) {
    return make_tensor_map("weights.codes", {data, rows, w.k, row, 1, weight_operand::box_rows, scale_block, true}, map);
  };
  if (w.codes.table == nullptr && (w.experts == 1 || w.codes.stride == w.n * row)) return map_of(w.codes.base, w.experts * w.n, out.packed);

  auto* const to = static_cast<CUtensorMap*>(maps);
  constexpr int at_once = 32;
  for (int first = 0; first < w.experts; first += at_once) {
    int const count = w.experts - first < at_once ? w.experts - first : at_once;
    std::uint8_t const* address[at_once];
    CUtensorMap map[at_once];
    if (w.codes.table != nullptr) {  // which may lie where only the device can read it
      auto const bytes = static_cast<std::size_t>(count) * sizeof(address[0]);
      if (cudaError_t const e = cudaMemcpy(address, w.codes.table + first, bytes, cudaMemcpyDefault); e != cudaSuccess)
        return {errc::device_refused, "weights.codes.table", "", e};
    } else {
      for (int i = 0; i < count; ++i) address[i] = w.codes[first + i];
    }
    for (int i = 0; i < count; ++i)
      if (status const s = map_of(address[i], w.n, map[i]); !s) return s;
    auto const bytes = static_cast<std::size_t>(count) * sizeof(map[0]);
    if (cudaError_t const e = cudaMemcpy(to + first, map, bytes, cudaMemcpyDefault); e != cudaSuccess)
      return {errc::device_refused, "weights.codes", "", e};
  }
  out.per_expert = to;
  return {};
}

}  // namespace moesaic::inline MOESAIC_ABI::cuda::sm90
