// Rows in token order copied into expert order, for engines whose GEMM cannot gather.
#pragma once

#include <cstdint>

#include <moesaic/semantics/group.hpp>
#include <moesaic/semantics/handoff.hpp>

namespace moesaic::inline MOESAIC_ABI {

/// out.row(r) = x.row(token of row r) for each row r that exists; rows behind the last are left alone. T: float, bf16, fp16.
template <class T>
struct permute_row {
  struct scratch {};

  matrix_view<T const> x;
  std::int32_t const* row_to_slot;
  int top_k;
  matrix_view<T> out;

  template <group G>
  MOESAIC_HD void operator()(G const& g, std::int64_t row, scratch&) const {
    std::int32_t const slot = row_to_slot[row];
    if (slot < 0) return;
    T const* const from = x.row(slot / top_k);
    T* const to = out.row(row);
    g.for_each(static_cast<int>(x.cols), [=](int c) { to[c] = from[c]; });
  }
};

/// The same for quantised rows: codes and scales travel together.
template <class Scale>
struct permute_quantized_row {
  struct scratch {};

  quantized_rows<Scale> x;
  std::int32_t const* row_to_slot;
  int top_k;
  quantized_rows<Scale> out;

  template <group G>
  MOESAIC_HD void operator()(G const& g, std::int64_t row, scratch&) const {
    std::int32_t const slot = row_to_slot[row];
    if (slot < 0) return;
    std::int64_t const token = slot / top_k;
    std::uint8_t const* const from = x.codes + token * x.cols;
    std::uint8_t* const to = out.codes + row * x.cols;
    g.for_each(static_cast<int>(x.cols), [=](int c) { to[c] = from[c]; });
    quantized_rows<Scale> const source = x, target = out;
    g.for_each(static_cast<int>((x.cols + scale_block - 1) / scale_block), [=](int b) { target.scale(b, row) = source.scale(b, token); });
  }
};

}  // namespace moesaic::inline MOESAIC_ABI
