// The dispatch map as DeepGEMM reads it, and where it wants rows and scales.
#pragma once

#include <cstdint>

#include <moesaic/num/block_scale.hpp>
#include <moesaic/semantics/padded_rows.hpp>

namespace moesaic::inline MOESAIC_ABI {

/// DeepGEMM's m_grouped_…_contiguous: every expert's rows start at a multiple of `alignment`. `grouped_layout` of the GEMM is m_indices,
/// or with use_psum_layout psum; give memory for either or both. The other two arrays say where rows come from and go to.
struct deep_gemm_layout {
  std::int32_t* m_indices = nullptr;    ///< i32 [capacity], or null: row → expert, −1 for padding
  std::int32_t* psum = nullptr;         ///< i32 [experts], or null: one past the last row of an expert that is no padding
  std::int32_t* row_to_slot = nullptr;  ///< i32 [capacity]: t · top_k + k, −1 for padding
  std::int32_t* slot_to_row = nullptr;  ///< i32 [tokens, top_k]; −1: no row
  std::int64_t capacity = 0;            ///< at least padded_capacity(tokens · top_k, experts, alignment)
  int alignment = 128;                  ///< get_mk_alignment_for_contiguous_layout()

  /// Whether a row without a slot fills an expert's last block, which DeepGEMM reads, or lies behind all blocks. A block starts with a row.
  MOESAIC_HD constexpr bool is_padding(std::int64_t row) const { return row_to_slot[row / alignment * alignment] >= 0; }
  template <class Scale>
  MOESAIC_HD constexpr Scale& scale(quantized_rows<Scale> const& rows, std::int64_t block, std::int64_t row) const {
    return rows.scale(block, row);
  }
};

/// Item e: the rows of expert e; item `experts`: what lies behind them.
struct adapt_deep_gemm {
  struct scratch {};

  dispatch_map map;
  deep_gemm_layout out;

  template <group G>
  MOESAIC_HD void operator()(G const& g, std::int64_t e, scratch&) const {
    dispatch_map const m = map;
    deep_gemm_layout const o = out;
    padded_part const part = part_of(m, e, o.alignment, o.capacity);
    g.for_each(static_cast<int>(part.size), [=](int i) {
      std::int32_t const slot = i < part.rows ? m.row_to_slot[part.source + i] : -1;
      o.row_to_slot[part.first + i] = slot;
      if (o.m_indices != nullptr) o.m_indices[part.first + i] = slot < 0 ? -1 : static_cast<std::int32_t>(e);
      if (slot >= 0) o.slot_to_row[slot] = static_cast<std::int32_t>(part.first + i);
    });
    if (e == m.experts)
      mark_slots_without_row(g, m, o.slot_to_row, [](std::int32_t slot) { return slot; });
    else if (o.psum != nullptr)
      g.single([=] { o.psum[e] = static_cast<std::int32_t>(part.first + part.rows); });
  }
};

/// DeepGEMM's m_grouped_…_masked: x [experts, rows_per_expert, cols] with masked_m[e] rows in use. Rows beyond rows_per_expert are dropped
/// (slot_to_row −1); as many as there are tokens always suffice.
struct deep_gemm_masked_layout {
  std::int32_t* masked_m = nullptr;     ///< i32 [experts]
  std::int32_t* row_to_slot = nullptr;  ///< i32 [experts, rows_per_expert]: t · top_k + k, −1 behind an expert's rows
  std::int32_t* slot_to_row = nullptr;  ///< i32 [tokens, top_k]: e · rows_per_expert + i; −1: no row
  std::int64_t rows_per_expert = 0;

  MOESAIC_HD constexpr bool is_padding(std::int64_t) const { return false; }
  /// `rows` is expert 0's; expert e's codes follow e · rows · cols codes later, its scales e · ⌈cols/128⌉ · scale_stride scales later.
  template <class Scale>
  MOESAIC_HD constexpr Scale& scale(quantized_rows<Scale> const& rows, std::int64_t block, std::int64_t row) const {
    std::int64_t const e = row / rows_per_expert, i = row % rows_per_expert;
    return rows.scale(e * ceil_div(rows.cols, scale_block) + block, i);
  }
};

/// Item e: the rows of expert e; item `experts`: the slots without a row.
struct adapt_deep_gemm_masked {
  struct scratch {};

  dispatch_map map;
  deep_gemm_masked_layout out;

  template <group G>
  MOESAIC_HD void operator()(G const& g, std::int64_t e, scratch&) const {
    dispatch_map const m = map;
    deep_gemm_masked_layout const o = out;
    if (e == m.experts) return mark_slots_without_row(g, m, o.slot_to_row, [](std::int32_t slot) { return slot; });
    std::int32_t const first = m.expert_offsets[e], rows = m.expert_offsets[e + 1] - first;
    std::int64_t const to = e * o.rows_per_expert;
    g.for_each(static_cast<int>(o.rows_per_expert), [=](int i) { o.row_to_slot[to + i] = i < rows ? m.row_to_slot[first + i] : -1; });
    g.for_each(rows,
               [=](int i) { o.slot_to_row[m.row_to_slot[first + i]] = i < o.rows_per_expert ? static_cast<std::int32_t>(to + i) : -1; });
    g.single([=] { o.masked_m[e] = static_cast<std::int32_t>(rows < o.rows_per_expert ? rows : o.rows_per_expert); });
  }
};

}  // namespace moesaic::inline MOESAIC_ABI
