// The activation between the two expert GEMMs, and the one rounding of the hidden rows.
#pragma once

#include <cstdint>

#include <moesaic/config/layer.hpp>
#include <moesaic/num/convert.hpp>
#include <moesaic/num/exp.hpp>
#include <moesaic/semantics/group.hpp>
#include <moesaic/semantics/handoff.hpp>
#include <moesaic/semantics/quantize.hpp>

namespace moesaic::inline MOESAIC_ABI {

/// silu(gate) · up with silu(g) = g · sigmoid(g), all in fp32. Products that stay apart, whatever the caller adds.
MOESAIC_INLINE constexpr float swiglu(float gate, float up) { return product(product(gate, sigmoid(gate)), up); }

/// v rounded to what an unquantised activation format can hold, widened again.
template <activation_format F>
MOESAIC_INLINE constexpr float round_to(float v) {
  static_assert(!is_quantized(F));
  if constexpr (F == activation_format::bf16) return to_float(to_bf16(v));
  if constexpr (F == activation_format::fp16) return to_float(to_fp16(v));
  return v;
}

/// x in fp32, rounded to F: what the first expert GEMM reads.
template <class T, activation_format F>
struct widen_row {
  struct scratch {};

  matrix_view<T const> x;
  matrix_view<float> out;

  template <group G>
  MOESAIC_HD void operator()(G const& g, std::int64_t row, scratch&) const {
    T const* const from = x.row(row);
    float* const to = out.row(row);
    g.for_each(static_cast<int>(x.cols), [=](int c) { to[c] = round_to<F>(to_float(from[c])); });
  }
};

/// out.row(r) = swiglu(gate.row(r), up.row(r)) rounded to F, for r < *row_count (all rows if row_count is null). out may be gate or up.
template <activation_format F>
struct activate_row {
  struct scratch {};

  matrix_view<float const> gate, up;
  std::int32_t const* row_count;
  matrix_view<float> out;

  template <group G>
  MOESAIC_HD void operator()(G const& g, std::int64_t row, scratch&) const {
    if (row_count != nullptr && row >= *row_count) return;
    float const *const a = gate.row(row), *const b = up.row(row);
    float* const to = out.row(row);
    g.for_each(static_cast<int>(gate.cols), [=](int c) { to[c] = round_to<F>(swiglu(a[c], b[c])); });
  }
};

/// Item i = row · blocks + block: that block of swiglu(gate, up), quantised without a rounding in between.
template <class Scale>
struct activate_quantize_rows {
  using scratch = quantize_scratch;

  matrix_view<float const> gate, up;
  std::int32_t const* row_count;
  quantized_rows<Scale> out;

  template <group G>
  MOESAIC_HD void operator()(G const& g, std::int64_t i, scratch& s) const {
    std::int64_t const blocks = ceil_div(gate.cols, scale_block);
    std::int64_t const row = i / blocks, b = i % blocks;
    if (row_count != nullptr && row >= *row_count) return;
    int const width = static_cast<int>(b + 1 < blocks ? scale_block : gate.cols - b * scale_block);
    float const *const a = gate.row(row) + b * scale_block, *const u = up.row(row) + b * scale_block;
    float* const value = s.value;
    g.for_each(width, [=](int c) { value[c] = swiglu(a[c], u[c]); });
    quantize_block(g, value, width, out, row, b);
  }
};

}  // namespace moesaic::inline MOESAIC_ABI
