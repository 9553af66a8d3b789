// Rows as the kernels read them fastest: sorted by expert, in blocks of 128 columns, in the engine's own element.
#pragma once

#include <cstdint>
#include <type_traits>

#include <moesaic/config/layer.hpp>
#include <moesaic/core/views.hpp>
#include <moesaic/cpu/vec.hpp>
#include <moesaic/num/convert.hpp>
#include <moesaic/semantics/activation.hpp>
#include <moesaic/semantics/group.hpp>
#include <moesaic/semantics/quantize.hpp>
#include <moesaic/tune/cpu_gemm.hpp>

namespace moesaic::inline MOESAIC_ABI::cpu {

namespace detail {

/// What an engine reads rows as.
template <tune::cpu_engine Engine>
using element_of = std::conditional_t<Engine == tune::cpu_engine::fp32_exact, float,
                                      std::conditional_t<Engine == tune::cpu_engine::fp16_chunked, fp16, bf16>>;

}  // namespace detail

/// Rows for an engine: its element [⌈cols/128⌉][rows][128], zero behind the last column, and, if Scaled, a scale for each block of a row,
/// f32 [⌈cols/128⌉][rows]: value = element · scale. The rows of one expert are one piece of memory in each block, whatever they were
/// gathered from.
template <tune::cpu_engine Engine, bool Scaled>
struct blocked_rows {
  static constexpr tune::cpu_engine engine = Engine;
  using element = detail::element_of<Engine>;

  element* data = nullptr;
  float* scales = nullptr;
  std::int64_t rows = 0, cols = 0;

  using block_row = element[scale_block];
  block_row* block(std::int64_t b, std::int64_t r) const { return reinterpret_cast<block_row*>(data) + b * rows + r; }
  float* scale(std::int64_t b, std::int64_t r) const { return scales + b * rows + r; }

  /// Out of an arena (pipeline/arena.hpp).
  template <class Arena>
  static blocked_rows take(Arena& a, std::int64_t rows, std::int64_t cols) {
    std::int64_t const blocks = ceil_div(cols, scale_block);
    blocked_rows r{a.template take<element>(blocks * rows * scale_block), nullptr, rows, cols};
    if constexpr (Scaled) r.scales = a.template take<float>(blocks * rows);
    return r;
  }
};

namespace detail {

/// The power of two that brings a block of this largest magnitude into [128, 256): 64 products with the largest decoded weight, 448 / 256,
/// then stay below fp16's largest number. 1 for a block of zeros and for one that is not finite.
constexpr float fp16_block_scale(std::uint32_t amax_bits) {
  std::uint32_t const exponent = amax_bits >> 23;
  if (amax_bits == 0 || exponent == 255) return 1.0F;
  return from_bits((exponent < 8 ? 1U : exponent - 7) << 23);
}

/// value[0 … 128) → block b of a row, rounded to F. Columns behind `width` hold zero.
template <activation_format F, tune::cpu_engine Engine, bool Scaled>
void store_block(float const (&value)[scale_block], int width, blocked_rows<Engine, Scaled> const& to, std::int64_t row, std::int64_t b) {
  using Element = element_of<Engine>;
  Element* const out = *to.block(b, row);
  auto const amax = [&] { return serial_group{}.max(width, [&](int c) { return abs_bits(value[c]); }); };
  if constexpr (is_quantized(F)) {
    using scale_type = std::conditional_t<F == activation_format::e4m3_1x128, float, std::uint8_t>;
    float const scale = scale_to_float(scale_for<scale_type>(from_bits(amax())));
    for (int c = 0; c < scale_block; ++c) out[c] = from_float<Element>(e4m3_to_float(quantize_e4m3(value[c], scale)));  // exact
    *to.scale(b, row) = scale;
#if MOESAIC_HAS_HALVES
  } else if constexpr (std::is_same_v<Element, fp16>) {
    float const scale = fp16_block_scale(amax()), factor = 1.0F / scale;
    for (int c = 0; c < scale_block; c += lanes)
      narrow(*reinterpret_cast<vec const*>(value + c) * factor, reinterpret_cast<std::uint16_t*>(out + c));
    *to.scale(b, row) = scale;
#endif
  } else {
    MOESAIC_SIMD
    for (int c = 0; c < scale_block; ++c) out[c] = from_float<Element>(round_to<F>(value[c]));
  }
}

}  // namespace detail

/// Item i = block · rows + r: that block of row r, rounded to F: the first `ahead` rows are x's own, those behind them come from token
/// row_to_slot[r − ahead] / top_k. Rows without a slot are left as they are.
template <activation_format F, class X, class Rows>
struct gather_rows {
  struct scratch {
    alignas(64) float value[scale_block];
  };

  matrix_view<X const> x;
  std::int64_t ahead;
  std::int32_t const* row_to_slot;
  int top_k;
  Rows to;

  void operator()(serial_group const&, std::int64_t i, scratch& s) const {
    std::int64_t const row = i % to.rows, b = i / to.rows, first = b * scale_block;
    std::int64_t token = row;
    if (row >= ahead) {
      std::int32_t const slot = row_to_slot[row - ahead];
      if (slot < 0) return;
      token = slot / top_k;
    }
    int const width = static_cast<int>(x.cols - first < scale_block ? x.cols - first : scale_block);
    X const* const from = x.row(token) + first;
    MOESAIC_SIMD
    for (int c = 0; c < width; ++c) s.value[c] = to_float(from[c]);
    for (int c = width; c < scale_block; ++c) s.value[c] = 0.0F;
    detail::store_block<F>(s.value, width, to, row, b);
  }
};

}  // namespace moesaic::inline MOESAIC_ABI::cpu
