// The dispatch map as TensorRT-LLM reads it: for its CUTLASS kernels, and for the trtllm-gen kernels that FlashInfer ships too.
#pragma once

#include <cstdint>

#include <moesaic/semantics/padded_rows.hpp>

namespace moesaic::inline MOESAIC_ABI {

/// TensorRT-LLM's CUTLASS path (moe_kernels.cu; also vLLM's moe_permute). Rows stand as in the map, but a slot is k · tokens + t here. −1:
/// no row (the finalise kernel asks the expert id first, so it never reads it), and behind the last row.
struct tensorrt_llm_layout {
  std::int64_t* expert_first_token_offset = nullptr;       ///< i64 [experts + 1]
  std::int32_t* permuted_row_to_unpermuted_row = nullptr;  ///< i32 [tokens · top_k]: row → k · tokens + t
  std::int32_t* unpermuted_row_to_permuted_row = nullptr;  ///< i32 [top_k, tokens]: its inverse
};

/// Item e: the rows of expert e; item `experts`: what lies behind them.
struct adapt_tensorrt_llm {
  struct scratch {};

  dispatch_map map;
  tensorrt_llm_layout out;

  template <group G>
  MOESAIC_HD void operator()(G const& g, std::int64_t e, scratch&) const {
    dispatch_map const m = map;
    tensorrt_llm_layout const o = out;
    std::int32_t const tokens = static_cast<std::int32_t>(m.tokens), top_k = m.top_k;
    auto const k_major = [=](std::int32_t slot) { return slot % top_k * tokens + slot / top_k; };
    std::int64_t const first = m.expert_offsets[e], last = e < m.experts ? m.expert_offsets[e + 1] : m.tokens * m.top_k;
    g.single([=] { o.expert_first_token_offset[e] = first; });
    g.for_each(static_cast<int>(last - first), [=](int i) {
      std::int32_t const slot = m.row_to_slot[first + i];
      o.permuted_row_to_unpermuted_row[first + i] = slot < 0 ? -1 : k_major(slot);
      if (slot >= 0) o.unpermuted_row_to_permuted_row[k_major(slot)] = static_cast<std::int32_t>(first + i);
    });
    if (e == m.experts) mark_slots_without_row(g, m, o.unpermuted_row_to_permuted_row, k_major);
  }
};

/// What trtllm-gen's routing kernels (TensorRT-LLM, FlashInfer: trtllm_fused_moe_routing) give its batched GEMMs. A CTA has tile_tokens
/// permuted rows, all of one expert. Padding rows: −1; a CTA that has nothing to do: expert −1, limit 0.
struct trtllm_gen_layout {
  std::int32_t* permuted_idx_to_token_idx = nullptr;     ///< i32 [capacity]
  std::int32_t* permuted_idx_to_expanded_idx = nullptr;  ///< i32 [capacity], or null: t · top_k + k
  std::int32_t* expanded_idx_to_permuted_idx = nullptr;  ///< i32 [tokens, top_k]; −1: no row
  std::int32_t* cta_idx_xy_to_batch_idx = nullptr;       ///< i32 [⌈capacity / tile_tokens⌉]: expert
  std::int32_t* cta_idx_xy_to_mn_limit = nullptr;        ///< i32 [⌈capacity / tile_tokens⌉]: one past its last row that is no padding
  std::int32_t* num_non_exiting_ctas = nullptr;          ///< i32 [1]
  std::int32_t* total_num_padded_tokens = nullptr;       ///< i32 [1]: tile_tokens · num_non_exiting_ctas
  std::int64_t capacity = 0;                             ///< at least padded_capacity(tokens · top_k, experts, tile_tokens)
  int tile_tokens = 0;                                   ///< a power of two
};

/// Item e: the CTAs of expert e; item `experts`: what lies behind them.
struct adapt_trtllm_gen {
  struct scratch {};

  dispatch_map map;
  trtllm_gen_layout out;

  template <group G>
  MOESAIC_HD void operator()(G const& g, std::int64_t e, scratch&) const {
    dispatch_map const m = map;
    trtllm_gen_layout const o = out;
    padded_part const part = part_of(m, e, o.tile_tokens, o.capacity);
    bool const behind = e == m.experts;
    g.for_each(static_cast<int>(part.size), [=](int i) {
      std::int32_t const slot = i < part.rows ? m.row_to_slot[part.source + i] : -1;
      o.permuted_idx_to_token_idx[part.first + i] = slot < 0 ? -1 : slot / m.top_k;
      if (o.permuted_idx_to_expanded_idx != nullptr) o.permuted_idx_to_expanded_idx[part.first + i] = slot;
      if (slot >= 0) o.expanded_idx_to_permuted_idx[slot] = static_cast<std::int32_t>(part.first + i);
    });
    std::int64_t const first_cta = part.first / o.tile_tokens;
    g.for_each(static_cast<int>(ceil_div(part.size, o.tile_tokens)), [=](int c) {
      std::int64_t const full = (first_cta + c + 1) * o.tile_tokens, last = part.first + part.rows;
      o.cta_idx_xy_to_batch_idx[first_cta + c] = behind ? -1 : static_cast<std::int32_t>(e);
      o.cta_idx_xy_to_mn_limit[first_cta + c] = behind ? 0 : static_cast<std::int32_t>(full < last ? full : last);
    });
    if (!behind) return;
    mark_slots_without_row(g, m, o.expanded_idx_to_permuted_idx, [](std::int32_t slot) { return slot; });
    g.single([=] {
      *o.num_non_exiting_ctas = static_cast<std::int32_t>(first_cta);
      *o.total_num_padded_tokens = static_cast<std::int32_t>(part.first);
    });
  }
};

}  // namespace moesaic::inline MOESAIC_ABI
