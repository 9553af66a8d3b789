// The dispatch map as llama.cpp reads it.
#pragma once

#include <cstdint>

#include <moesaic/semantics/group.hpp>
#include <moesaic/semantics/handoff.hpp>

namespace moesaic::inline MOESAIC_ABI {

/// ggml's names for what mul_mat_id wants to know on a GPU (ggml-cuda/mmid.cu, `ggml_cuda_launch_mm_ids_helper`). `expert_bounds` and
/// `ids_dst` are the map's expert_offsets and row_to_slot as they stand: leave them null to use those, or give them memory to have copies.
/// Behind the last row: −1.
struct llama_cpp_layout {
  std::int32_t* expert_bounds = nullptr;  ///< i32 [experts + 1], or null
  std::int32_t* ids_dst = nullptr;        ///< i32 [tokens · top_k], or null: row → column of dst, t · top_k + k
  std::int32_t* ids_src1 = nullptr;       ///< i32 [tokens · top_k]: row → column of src1, t · token_stride + k % channels
  int channels = 1;                       ///< columns of src1 a token has: 1 before the activation, top_k behind it (`nchannels_y`)
  int token_stride = 1;                   ///< columns of src1 from token to token (`sis1`)
};

/// Item e: the rows of expert e; item `experts`: what lies behind them.
struct adapt_llama_cpp {
  struct scratch {};

  dispatch_map map;
  llama_cpp_layout out;

  template <group G>
  MOESAIC_HD void operator()(G const& g, std::int64_t e, scratch&) const {
    dispatch_map const m = map;
    llama_cpp_layout const o = out;
    std::int64_t const first = m.expert_offsets[e], last = e < m.experts ? m.expert_offsets[e + 1] : m.tokens * m.top_k;
    g.single([=] {
      if (o.expert_bounds != nullptr) o.expert_bounds[e] = m.expert_offsets[e];
    });
    g.for_each(static_cast<int>(last - first), [=](int i) {
      std::int32_t const slot = m.row_to_slot[first + i];
      if (o.ids_dst != nullptr) o.ids_dst[first + i] = slot;
      o.ids_src1[first + i] = slot < 0 ? -1 : slot / m.top_k * o.token_stride + slot % m.top_k % o.channels;
    });
  }
};

}  // namespace moesaic::inline MOESAIC_ABI
