// Rows in token order copied to where a layout has them, for engines whose GEMM cannot gather.
#pragma once

#include <cstdint>

#include <moesaic/semantics/group.hpp>
#include <moesaic/semantics/handoff.hpp>

namespace moesaic::inline MOESAIC_ABI {

/// Where rows go as a dispatch map has them. A layout says which slot a row belongs to (−1: none), which rows without a slot are padding
/// that somebody reads, and where a row's scales lie. Those with padding: semantics/adapt_deep_gemm.hpp.
struct tight_rows {
  std::int32_t const* row_to_slot;
  std::int32_t const* slot_to_row = nullptr;  ///< the inverse, or null: with it a backend may read every row of x once

  MOESAIC_HD constexpr bool is_padding(std::int64_t) const { return false; }
  template <class Scale>
  MOESAIC_HD constexpr Scale& scale(quantized_rows<Scale> const& rows, std::int64_t block, std::int64_t row) const {
    return rows.scale(block, row);
  }
};

/// out.row(r) = x.row(token of row r) for each row r that has a slot, zeros for padding; other rows are left alone. T: float, bf16, fp16.
template <class T, class Layout = tight_rows>
struct permute_row {
  struct scratch {};

  matrix_view<T const> x;
  Layout layout;
  int top_k;
  matrix_view<T> out;

  template <group G>
  MOESAIC_HD void operator()(G const& g, std::int64_t row, scratch&) const {
    std::int32_t const slot = layout.row_to_slot[row];
    if (slot < 0 && !layout.is_padding(row)) return;
    T const* const from = slot < 0 ? nullptr : x.row(slot / top_k);
    T* const to = out.row(row);
    g.for_each(static_cast<int>(x.cols), [=](int c) { to[c] = from != nullptr ? from[c] : T{}; });
  }
};

/// The same for quantised rows: codes and scales travel together, padding has codes and scales 0.
template <class Scale, class Layout = tight_rows>
struct permute_quantized_row {
  struct scratch {};

  quantized_rows<Scale> x;
  Layout layout;
  int top_k;
  quantized_rows<Scale> out;

  template <group G>
  MOESAIC_HD void operator()(G const& g, std::int64_t row, scratch&) const {
    std::int32_t const slot = layout.row_to_slot[row];
    if (slot < 0 && !layout.is_padding(row)) return;
    std::int64_t const token = slot < 0 ? 0 : slot / top_k;
    std::uint8_t const* const from = x.codes + token * x.cols;
    std::uint8_t* const to = out.codes + row * x.cols;
    quantized_rows<Scale> const source = x, target = out;
    Layout const l = layout;
    g.for_each(static_cast<int>(x.cols), [=](int c) { to[c] = slot < 0 ? std::uint8_t{0} : from[c]; });
    g.for_each(static_cast<int>(ceil_div(x.cols, scale_block)),
               [=](int b) { l.scale(target, b, row) = slot < 0 ? Scale{} : source.scale(b, token); });
  }
};

}  // namespace moesaic::inline MOESAIC_ABI
