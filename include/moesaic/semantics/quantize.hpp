// E4M3 with one scale for 128 columns of a row: DeepSeek's activation quantiser.
#pragma once

#include <cstdint>

#include <moesaic/core/same_as.hpp>
#include <moesaic/num/block_scale.hpp>
#include <moesaic/num/convert.hpp>
#include <moesaic/semantics/group.hpp>
#include <moesaic/semantics/handoff.hpp>

namespace moesaic::inline MOESAIC_ABI {

/// The scale of a block whose largest magnitude is amax, as it is stored: fp32, or rounded up to a power of two.
template <class Scale>
MOESAIC_INLINE constexpr Scale scale_for(float amax) {
  if constexpr (detail::same_as<Scale, float>)
    return block_scale(amax);
  else if constexpr (detail::same_as<Scale, e8m0_as_f32>)
    return {e8m0_to_float(block_scale_e8m0(amax))};
  else
    return block_scale_e8m0(amax);
}

/// Scratch of one block of columns on its way into E4M3.
struct quantize_scratch {
  float value[scale_block];
};

/// Quantises value[0 … width) into block `b` of row `row` of `out`: scale = max(amax, 1e-4) / 448, rounded up to a power of two if Scale
/// is u8, code = E4M3(value / scale). A NaN or an infinity in the block makes all of the block read back as NaN: the row is lost visibly.
/// The last row also zeroes the scales that pad the row count to a multiple of 4.
template <class Scale, group G>
MOESAIC_INLINE void quantize_block(G const& g, float const* value, int width, quantized_rows<Scale> const& out, std::int64_t row,
                                   std::int64_t b) {
  Scale const scale = scale_for<Scale>(from_bits(g.max(width, [=](int c) { return abs_bits(value[c]); })));
  float const divisor = scale_to_float(scale);
  std::uint8_t* const code = out.codes + row * out.cols + b * scale_block;
  g.for_each(width, [=](int c) { code[c] = quantize_e4m3(value[c], divisor); });
  g.single([=] {
    out.scale(b, row) = scale;
    if (row == out.rows - 1)
      for (std::int64_t pad = out.rows; pad < out.scale_stride; ++pad) out.scale(b, pad) = Scale{};
  });
}

/// Item i = row · blocks + block: that block of x, quantised. T: float, bf16, fp16.
template <class T, class Scale>
struct quantize_rows {
  using scratch = quantize_scratch;

  matrix_view<T const> x;
  quantized_rows<Scale> out;
  std::int32_t const* row_count = nullptr;

  template <group G>
  MOESAIC_HD void operator()(G const& g, std::int64_t i, scratch& s) const {
    std::int64_t const blocks = ceil_div(x.cols, scale_block);
    std::int64_t const row = i / blocks, b = i % blocks;
    if (row_count != nullptr && row >= *row_count) return;
    int const width = static_cast<int>(b + 1 < blocks ? scale_block : x.cols - b * scale_block);
    T const* const from = x.row(row) + b * scale_block;
    float* const value = s.value;
    g.for_each(width, [=](int c) { value[c] = to_float(from[c]); });
    quantize_block(g, value, width, out, row, b);
  }
};

}  // namespace moesaic::inline MOESAIC_ABI
