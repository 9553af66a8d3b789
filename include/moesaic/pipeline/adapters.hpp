// One dispatch map in the layouts that other libraries' kernels expect. An engine that keeps its own expert kernels still takes moesaic's
// router and map. The caller owns all memory; every entry is written, up to the capacity it states. Exact: the same on every backend.
#pragma once

#include <cstdint>
#include <type_traits>

#include <moesaic/pipeline/backend.hpp>
#include <moesaic/pipeline/check.hpp>
#include <moesaic/pipeline/stages.hpp>
#include <moesaic/semantics/adapt_deep_gemm.hpp>
#include <moesaic/semantics/adapt_llama_cpp.hpp>
#include <moesaic/semantics/adapt_tensorrt_llm.hpp>
#include <moesaic/semantics/adapt_vllm.hpp>

namespace moesaic::inline MOESAIC_ABI {

namespace check {

/// A map that a layout can be made from; its slots, and with padding its rows, are counted in i32.
inline status map(char const* argument, dispatch_map const& m) {
  return first_error(at_least(argument, "top_k", m.top_k, 1), slots(argument, "tokens", m.tokens, m.top_k),
                     map(argument, m, m.tokens, m.top_k));
}

/// The next power of two is what was expected.
constexpr status power_of_two(char const* argument, char const* member, std::int64_t value) {
  std::int64_t next = 1;
  while (next < value) next *= 2;
  return equal(argument, member, value, next);
}

/// Room for all rows that the map could have with every expert padded to `block`.
constexpr status padded(char const* argument, char const* block_name, dispatch_map const& m, std::int64_t capacity, int block) {
  if (status const s = at_least(argument, block_name, block, 1); !s) return s;
  return first_error(at_least(argument, "capacity", capacity, padded_capacity(m.tokens * m.top_k, m.experts, block)),
                     at_most(argument, "capacity", capacity, 0x7fffffff));
}

}  // namespace check

/// For llama.cpp's grouped mul_mat_id; see llama_cpp_layout.
template <backend B>
status adapt(B const& ctx, dispatch_map map, llama_cpp_layout out) {
  if (status const s = check::first_error(check::map("map", map), check::at_least("out", "channels", out.channels, 1),
                                          check::at_least("out", "token_stride", out.token_stride, out.channels),
                                          check::not_null("out", "ids_src1", map.tokens > 0 && out.ids_src1 == nullptr));
      !s)
    return s;
  return ctx.launch(std::int64_t{map.experts} + 1, adapt_llama_cpp{map, out});
}

/// For the Triton kernels of vLLM and SGLang; see vllm_layout.
template <backend B>
status adapt(B const& ctx, dispatch_map map, vllm_layout out) {
  if (status const s = check::first_error(check::map("map", map), check::padded("out", "block_size", map, out.capacity, out.block_size),
                                          check::not_null("out", "sorted_token_ids", out.capacity > 0 && out.sorted_token_ids == nullptr),
                                          check::not_null("out", "expert_ids", out.capacity > 0 && out.expert_ids == nullptr),
                                          check::not_null("out", "num_tokens_post_padded", out.num_tokens_post_padded == nullptr));
      !s)
    return s;
  return ctx.launch(std::int64_t{map.experts} + 1, adapt_vllm{map, out});
}

/// For TensorRT-LLM's CUTLASS kernels; see tensorrt_llm_layout.
template <backend B>
status adapt(B const& ctx, dispatch_map map, tensorrt_llm_layout out) {
  bool const any = map.tokens > 0;
  if (status const s =
          check::first_error(check::map("map", map), check::not_null("out", "expert_first_token_offset", !out.expert_first_token_offset),
                             check::not_null("out", "permuted_row_to_unpermuted_row", any && !out.permuted_row_to_unpermuted_row),
                             check::not_null("out", "unpermuted_row_to_permuted_row", any && !out.unpermuted_row_to_permuted_row));
      !s)
    return s;
  return ctx.launch(std::int64_t{map.experts} + 1, adapt_tensorrt_llm{map, out});
}

/// For the trtllm-gen kernels of TensorRT-LLM and FlashInfer; see trtllm_gen_layout.
template <backend B>
status adapt(B const& ctx, dispatch_map map, trtllm_gen_layout out) {
  bool const any = out.capacity > 0;
  if (status const s =
          check::first_error(check::map("map", map), check::padded("out", "tile_tokens", map, out.capacity, out.tile_tokens),
                             check::power_of_two("out", "tile_tokens", out.tile_tokens),
                             check::not_null("out", "permuted_idx_to_token_idx", any && !out.permuted_idx_to_token_idx),
                             check::not_null("out", "expanded_idx_to_permuted_idx", map.tokens > 0 && !out.expanded_idx_to_permuted_idx),
                             check::not_null("out", "cta_idx_xy_to_batch_idx", any && !out.cta_idx_xy_to_batch_idx),
                             check::not_null("out", "cta_idx_xy_to_mn_limit", any && !out.cta_idx_xy_to_mn_limit),
                             check::not_null("out", "num_non_exiting_ctas", !out.num_non_exiting_ctas),
                             check::not_null("out", "total_num_padded_tokens", !out.total_num_padded_tokens));
      !s)
    return s;
  return ctx.launch(std::int64_t{map.experts} + 1, adapt_trtllm_gen{map, out});
}

/// For DeepGEMM's contiguous grouped GEMMs; see deep_gemm_layout.
template <backend B>
status adapt(B const& ctx, dispatch_map map, deep_gemm_layout out) {
  if (status const s = check::first_error(check::map("map", map), check::padded("out", "alignment", map, out.capacity, out.alignment),
                                          check::not_null("out", "m_indices", !out.m_indices && !out.psum && map.tokens > 0),
                                          check::not_null("out", "row_to_slot", out.capacity > 0 && !out.row_to_slot),
                                          check::not_null("out", "slot_to_row", map.tokens > 0 && !out.slot_to_row));
      !s)
    return s;
  return ctx.launch(std::int64_t{map.experts} + 1, adapt_deep_gemm{map, out});
}

/// For DeepGEMM's masked grouped GEMMs; see deep_gemm_masked_layout.
template <backend B>
status adapt(B const& ctx, dispatch_map map, deep_gemm_masked_layout out) {
  if (status const s = check::first_error(
          check::map("map", map),
          check::at_most("out", "rows_per_expert", out.rows_per_expert, map.experts > 0 ? 0x7fffffff / map.experts : 0x7fffffff),
          check::not_null("out", "masked_m", map.experts > 0 && !out.masked_m),
          check::not_null("out", "row_to_slot", map.experts > 0 && out.rows_per_expert > 0 && !out.row_to_slot),
          check::not_null("out", "slot_to_row", map.tokens > 0 && !out.slot_to_row));
      !s)
    return s;
  return ctx.launch(std::int64_t{map.experts} + 1, adapt_deep_gemm_masked{map, out});
}

namespace check {

/// A layout that adapt() has filled from this map.
inline status filled(dispatch_map const& m, deep_gemm_layout const& layout) {
  return first_error(map("map", m), padded("layout", "alignment", m, layout.capacity, layout.alignment),
                     not_null("layout", "row_to_slot", layout.capacity > 0 && !layout.row_to_slot),
                     not_null("layout", "slot_to_row", m.tokens > 0 && !layout.slot_to_row));
}

}  // namespace check

/// out.row(r) = x.row(token of r) for the rows of a layout that adapt() has filled from `map`; the padding of an expert's last block
/// becomes 0, rows behind all blocks are left alone. x [T, H] and out [layout.capacity, H] of f32, bf16 or fp16. An exact copy.
template <backend B, class X>
status permute(B const& ctx, matrix_view<X> x, dispatch_map map, deep_gemm_layout layout, matrix_view<std::remove_const_t<X>> out) {
  using element = std::remove_const_t<X>;
  if (status const s = check::first_error(check::filled(map, layout), check::rows_of_16_bytes("x", x, map.tokens, x.cols),
                                          check::rows_of_16_bytes("out", out, layout.capacity, x.cols));
      !s || x.rows == 0)
    return s;
  return ctx.launch(layout.capacity, permute_row<element, deep_gemm_layout>{x, layout, map.top_k, out});
}

/// The same for quantised rows: codes and scales as m_grouped_fp8_gemm_nt_contiguous takes them.
template <backend B, class Scale>
status permute(B const& ctx, quantized_rows<Scale> x, dispatch_map map, deep_gemm_layout layout, quantized_rows<Scale> out) {
  if (status const s = check::first_error(check::filled(map, layout), check::quantized("x", x, map.tokens, x.cols),
                                          check::quantized("out", out, layout.capacity, x.cols));
      !s || x.rows == 0)
    return s;
  return ctx.launch(layout.capacity, permute_quantized_row<Scale, deep_gemm_layout>{x, layout, map.top_k, out});
}

/// The same for quantised rows in the masked layout. `out` has layout.rows_per_expert rows, those of expert 0, and memory for all experts:
/// codes [E, rows, H], scales [E][⌈H/128⌉][rows rounded up to 4]. Rows that are not in use are left alone.
template <backend B, class Scale>
status permute(B const& ctx, quantized_rows<Scale> x, dispatch_map map, deep_gemm_masked_layout layout, quantized_rows<Scale> out) {
  if (status const s = check::first_error(check::map("map", map), check::quantized("x", x, map.tokens, x.cols),
                                          check::not_null("layout", "row_to_slot", layout.rows_per_expert > 0 && !layout.row_to_slot),
                                          check::quantized("out", out, layout.rows_per_expert, x.cols));
      !s || x.rows == 0)
    return s;
  return ctx.launch(map.experts * layout.rows_per_expert, permute_quantized_row<Scale, deep_gemm_masked_layout>{x, layout, map.top_k, out});
}

/// unpermute for partials [layout.capacity, H] that lie in padded positions.
template <backend B, class Y>
status unpermute(B const& ctx, matrix_view<float const> partials, dispatch_map map, deep_gemm_layout layout, topk_choice choice,
                 matrix_view<Y> y, std::type_identity_t<combine_extras<Y>> const& extras = {}) {
  if (status const s =
          check::first_error(check::filled(map, layout), check::rows_of_16_bytes("partials", partials, layout.capacity, y.cols));
      !s)
    return s;
  map.slot_to_row = layout.slot_to_row;  // all that unpermute reads of a map
  partials.rows = map.tokens * map.top_k;
  return unpermute(ctx, partials, map, choice, y, extras);
}

}  // namespace moesaic::inline MOESAIC_ABI
