// The dispatch map as the Triton kernels of vLLM and SGLang read it.
#pragma once

#include <cstdint>

#include <moesaic/semantics/padded_rows.hpp>

namespace moesaic::inline MOESAIC_ABI {

/// What vLLM's and SGLang's `moe_align_block_size` gives their `fused_moe_kernel`: blocks of block_size slots, each of one expert. Padding,
/// and all entries behind the last block, hold tokens · top_k; blocks behind the last have expert −1. A slot without a row is in no block
/// (vLLM: `ignore_invalid_experts`), so zero the kernel's output first if there may be any.
struct vllm_layout {
  std::int32_t* sorted_token_ids = nullptr;        ///< i32 [capacity]: t · top_k + k
  std::int32_t* expert_ids = nullptr;              ///< i32 [⌈capacity / block_size⌉]
  std::int32_t* num_tokens_post_padded = nullptr;  ///< i32 [1]: entries in blocks
  std::int64_t capacity = 0;                       ///< at least padded_capacity(tokens · top_k, experts, block_size); vLLM's own size is
  int block_size = 0;                              ///< BLOCK_SIZE_M of the kernel's configuration
};

/// Item e: the blocks of expert e; item `experts`: what lies behind them.
struct adapt_vllm {
  struct scratch {};

  dispatch_map map;
  vllm_layout out;

  template <group G>
  MOESAIC_HD void operator()(G const& g, std::int64_t e, scratch&) const {
    vllm_layout const o = out;
    std::int32_t const* const slot = map.row_to_slot;
    padded_part const part = part_of(map, e, o.block_size, o.capacity);
    std::int32_t const none = static_cast<std::int32_t>(map.tokens * map.top_k);
    std::int32_t const expert = e < map.experts ? static_cast<std::int32_t>(e) : -1;
    g.for_each(static_cast<int>(part.size),
               [=](int i) { o.sorted_token_ids[part.first + i] = i < part.rows ? slot[part.source + i] : none; });
    g.for_each(static_cast<int>(ceil_div(part.size, o.block_size)), [=](int b) { o.expert_ids[part.first / o.block_size + b] = expert; });
    if (expert < 0) g.single([=] { *o.num_tokens_post_padded = static_cast<std::int32_t>(part.first); });
  }
};

}  // namespace moesaic::inline MOESAIC_ABI
