// Descriptions of matrices for the tensor memory accelerator. Made on the host, once; the kernels only read them.
#pragma once

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <cstdint>

#include <moesaic/core/status.hpp>
#include <moesaic/core/views.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

/// A matrix [rows, cols] of 1- or 4-byte elements, rows `stride` bytes apart, to be read in boxes of [box_rows, box_cols].
struct boxed_matrix {
  void const* data = nullptr;
  std::int64_t rows = 0, cols = 0, stride = 0;
  int element_bytes = 1;
  int box_rows = 1, box_cols = 1;
  bool swizzled = false;  ///< rows of the box are 128 bytes and lie in shared memory with the 128-byte swizzle
};

/// What the hardware asks of it. The driver checks that too, but not on a machine without one. What neither checks: a box that starts at a
/// column that is not a multiple of 16 bytes is an illegal instruction (seen on an H200).
constexpr status check_boxed(char const* argument, boxed_matrix const& m) {
  if (m.rows < 1 || m.rows > (std::int64_t{1} << 31)) return {errc::out_of_range, argument, "rows", m.rows, std::int64_t{1} << 31};
  if (m.cols < 1 || m.cols > (std::int64_t{1} << 31)) return {errc::out_of_range, argument, "cols", m.cols, std::int64_t{1} << 31};
  if (m.stride % 16 != 0) return {errc::misaligned, argument, "stride", m.stride % 16, 16};
  if (m.box_rows < 1 || m.box_rows > 256) return {errc::out_of_range, argument, "box_rows", m.box_rows, 256};
  if (m.box_cols < 1 || m.box_cols > 256) return {errc::out_of_range, argument, "box_cols", m.box_cols, 256};
  if (m.box_cols * m.element_bytes % 16 != 0) return {errc::misaligned, argument, "box_cols", m.box_cols * m.element_bytes % 16, 16};
  if (m.swizzled && m.box_cols * m.element_bytes != 128)
    return {errc::shape_mismatch, argument, "box_cols", m.box_cols * m.element_bytes, 128};
  return {};
}

namespace detail {
/// From the driver by name, so that nobody has to link with it.
inline decltype(&cuTensorMapEncodeTiled) tensor_map_encoder() {
  void* symbol = nullptr;
  cudaDriverEntryPointQueryResult found{};
  bool const has = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &symbol, 12000, cudaEnableDefault, &found) == cudaSuccess &&
                   found == cudaDriverEntryPointSuccess;
  return has ? reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(symbol) : nullptr;
}
}  // namespace detail

/// Fills `map`. Without a driver, or with one that knows no tensor maps: null_argument "cuTensorMapEncodeTiled".
inline status make_tensor_map(char const* argument, boxed_matrix const& m, CUtensorMap& map) {
  if (status const s = check_boxed(argument, m); !s) return s;
  if (m.data == nullptr) return {errc::null_argument, argument, "data"};
  if (reinterpret_cast<std::uintptr_t>(m.data) % 16 != 0)
    return {errc::misaligned, argument, "data", static_cast<long long>(reinterpret_cast<std::uintptr_t>(m.data) % 16), 16};
  static auto const encode = detail::tensor_map_encoder();  // the driver's own, the same for every caller
  if (encode == nullptr) return {errc::null_argument, "cuTensorMapEncodeTiled"};
  cuuint64_t const sizes[2] = {static_cast<cuuint64_t>(m.cols), static_cast<cuuint64_t>(m.rows)};
  cuuint64_t const strides[1] = {static_cast<cuuint64_t>(m.stride)};
  cuuint32_t const box[2] = {static_cast<cuuint32_t>(m.box_cols), static_cast<cuuint32_t>(m.box_rows)};
  cuuint32_t const steps[2] = {1, 1};
  CUresult const r = encode(&map, m.element_bytes == 4 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT32 : CU_TENSOR_MAP_DATA_TYPE_UINT8, 2,
                            const_cast<void*>(m.data), sizes, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
                            m.swizzled ? CU_TENSOR_MAP_SWIZZLE_128B : CU_TENSOR_MAP_SWIZZLE_NONE, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                            CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (r != CUDA_SUCCESS) return {errc::out_of_range, argument, "tensor map", static_cast<long long>(r), 0};
  return {};
}

}  // namespace moesaic::inline MOESAIC_ABI::cuda
