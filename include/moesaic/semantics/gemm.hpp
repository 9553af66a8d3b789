// The grouped GEMM's meaning, element by element: what every backend's kernel computes, in whatever order it likes.
#pragma once

#include <cstdint>

#include <moesaic/config/weights.hpp>
#include <moesaic/core/views.hpp>
#include <moesaic/num/convert.hpp>
#include <moesaic/num/e4m3.hpp>
#include <moesaic/num/fma.hpp>
#include <moesaic/semantics/handoff.hpp>

namespace moesaic::inline MOESAIC_ABI {

/// Unquantised GEMM rows. Already rounded to the layer's activation format, held as fp32.
using f32_rows = matrix_view<float const>;

/// a · b + c in a GEMM's inner loop: fused where the target has the instruction, two roundings elsewhere. A GEMM promises its bits for one
/// instruction set only (design: numeric contract), so it need not pay for an emulated fma.
MOESAIC_INLINE constexpr float multiply_add(float a, float b, float c) {
#if MOESAIC_HAS_FMA || defined(__CUDA_ARCH__) || defined(__HIP_DEVICE_COMPILE__)
  return fma(a, b, c);
#else
  return a * b + c;
#endif
}

/// Rows of f32, bf16 or fp16. Every backend multiplies f32_rows; some read the narrower ones too (pipeline/backend.hpp: reads_rows_of).
template <class T>
MOESAIC_INLINE constexpr float row_value(matrix_view<T const> const& rows, std::int64_t r, std::int64_t c) {
  return to_float(rows(r, c));
}
template <class T>
MOESAIC_INLINE constexpr float row_scale(matrix_view<T const> const&, std::int64_t, std::int64_t) {
  return 1.0F;
}
template <class Scale>
MOESAIC_INLINE constexpr float row_value(quantized_rows<Scale> const& rows, std::int64_t r, std::int64_t c) {
  return e4m3_to_float(rows.codes[r * rows.cols + c]);
}
template <class Scale>
MOESAIC_INLINE constexpr float row_scale(quantized_rows<Scale> const& rows, std::int64_t r, std::int64_t block) {
  return scale_to_float(rows.scale(block, r));
}

/// A weight code without its scale.
template <weight_format F>
MOESAIC_INLINE constexpr float weight_value(weight_code_t<F> code) {
  if constexpr (F == weight_format::e4m3_128x128)
    return e4m3_to_float(code);
  else
    return to_float(code);
}

/// The scale of expert e's block that holds row n and the 128 columns of block b.
template <weight_format F>
MOESAIC_INLINE constexpr float weight_scale(weight_matrices<F> const& w, std::int64_t e, std::int64_t n, std::int64_t b) {
  if constexpr (F == weight_format::e4m3_128x128)
    return w.scales[e][n / scale_block * ceil_div(w.k, scale_block) + b];
  else
    return 1.0F;
}

/// Row `r` of a times row n of expert e's matrix: Σ_b scale_a[r, b] · scale_w[n/128, b] · (Σ_{k in block b} a[r, k] · w[n, k]), products
/// and sums in fp32, columns ascending inside a block of 128, blocks ascending. Scales are 1 where a format has none.
template <class Rows, weight_format F>
MOESAIC_HD float gemm_element(Rows const& a, std::int64_t r, weight_matrices<F> const& w, std::int64_t e, std::int64_t n) {
  weight_code_t<F> const* const code = w.row(e, n);
  float total = 0.0F;
  for (std::int64_t first = 0, b = 0; first < w.k; first += scale_block, ++b) {
    std::int64_t const last = first + scale_block < w.k ? first + scale_block : w.k;
    float block = 0.0F;
    for (std::int64_t k = first; k < last; ++k) block = multiply_add(row_value(a, r, k), weight_value<F>(code[k]), block);
    total = multiply_add(block, row_scale(a, r, b) * weight_scale(w, e, n, b), total);
  }
  return total;
}

}  // namespace moesaic::inline MOESAIC_ABI
