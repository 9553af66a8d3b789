// The types that stages hand to one another. They are the architecture: an engine may replace any stage that reads and writes these.
#pragma once

#include <cstdint>

#include <moesaic/config/weights.hpp>
#include <moesaic/core/views.hpp>
#include <moesaic/num/e8m0.hpp>

namespace moesaic::inline MOESAIC_ABI {

/// The experts of every token: `ids` i32 [tokens, top_k] and `weights` f32 [tokens, top_k], both row-major without gaps, best expert first,
/// ties to the lowest id. Written by route, or by an engine with a router of its own (an id outside [0, E) then means "not here").
struct topk_choice {
  std::int32_t* ids = nullptr;
  float* weights = nullptr;
  std::int64_t tokens = 0;
  int top_k = 0;
};

/// The (token, k) pairs sorted by expert. slot = t · top_k + k; row = position in the sorted order, so that expert e owns the rows
/// [expert_offsets[e], expert_offsets[e+1]), ascending by slot, tight, without padding. −1 stands for "not here": in slot_to_row for a
/// slot without a row, in row_to_slot behind the last row.
struct dispatch_map {
  std::int32_t* expert_offsets = nullptr;  ///< i32 [experts + 1]
  std::int32_t* row_to_slot = nullptr;     ///< i32 [tokens · top_k]
  std::int32_t* slot_to_row = nullptr;     ///< i32 [tokens, top_k]
  std::int64_t tokens = 0;
  int top_k = 0;
  int experts = 0;
};

/// Rows quantised to E4M3 in blocks of 128 columns: value = code · scale. `codes` u8 [rows, cols] row-major; `scales`
/// [⌈cols/128⌉][scale_stride] with scale_stride = rows rounded up to 4: the transposed layout that block-scaled GEMMs load. Scale is float
/// or u8 (UE8M0), or inside a backend e8m0_as_f32.
template <class Scale>
struct quantized_rows {
  std::uint8_t* codes = nullptr;
  Scale* scales = nullptr;
  std::int64_t rows = 0, cols = 0, scale_stride = 0;

  constexpr quantized_rows() = default;
  MOESAIC_HD constexpr quantized_rows(std::uint8_t* c, Scale* s, std::int64_t r, std::int64_t n)
      : codes(c), scales(s), rows(r), cols(n), scale_stride((r + 3) / 4 * 4) {}

  MOESAIC_HD constexpr Scale& scale(std::int64_t block, std::int64_t row) const { return scales[block * scale_stride + row]; }
};

/// A stored scale as the number it stands for.
MOESAIC_INLINE constexpr float scale_to_float(float scale) { return scale; }
MOESAIC_INLINE constexpr float scale_to_float(std::uint8_t e8m0) { return e8m0_to_float(e8m0); }
MOESAIC_INLINE constexpr float scale_to_float(e8m0_as_f32 scale) { return scale.value; }

/// What a grouped GEMM multiplies: rows of fp32 or quantised rows, either already sorted by expert, or still one per token and gathered
/// through row_to_slot while they are read (row r is then token row_to_slot[r] / top_k): no expanded copy is made.
template <class Rows>
struct gemm_input {
  Rows rows{};
  std::int32_t const* row_to_slot = nullptr;
  int top_k = 1;

  MOESAIC_HD constexpr std::int64_t source(std::int64_t row) const { return row_to_slot != nullptr ? row_to_slot[row] / top_k : row; }
};
template <class Rows>
gemm_input(Rows) -> gemm_input<Rows>;
template <class Rows>
gemm_input(Rows, std::int32_t const*, int) -> gemm_input<Rows>;

}  // namespace moesaic::inline MOESAIC_ABI
