// Where a layer's weights lie in the caller's memory, as a checkpoint stores them. Nothing here owns or copies.
#pragma once

#include <cstddef>
#include <cstdint>

#include <moesaic/config/layer.hpp>
#include <moesaic/core/views.hpp>
#include <moesaic/num/bf16.hpp>
#include <moesaic/num/block_scale.hpp>

namespace moesaic::inline MOESAIC_ABI {

/// The same tensor for every expert: either `base + e · stride` elements, or, where `table` is given, one pointer per expert, because a
/// checkpoint stores each expert as tensors of its own in whatever shard. Single elements may be unaligned only if T is one byte wide.
template <class T>
struct expert_array {
  T const* base = nullptr;
  std::int64_t stride = 0;
  T const* const* table = nullptr;

  MOESAIC_HD constexpr T const* operator[](std::int64_t e) const { return table != nullptr ? table[e] : base + e * stride; }
  MOESAIC_HD constexpr bool is_null() const { return table == nullptr && base == nullptr; }
};

template <weight_format>
struct weight_code;
template <>
struct weight_code<weight_format::f32> {
  using type = float;
};
template <>
struct weight_code<weight_format::bf16> {
  using type = bf16;
};
template <>
struct weight_code<weight_format::e4m3_128x128> {
  using type = std::uint8_t;
};
/// The stored element of a weight format: float, bf16, or a byte holding an E4M3 code.
template <weight_format F>
using weight_code_t = typename weight_code<F>::type;

/// `experts` matrices W of n rows and k columns, row-major without gaps; y = x Wᵀ. With e4m3_128x128 each has a scale grid
/// [⌈n/128⌉, ⌈k/128⌉] of fp32, row-major: W[r][c] = code · scale[r/128][c/128] (the checkpoint's `weight_scale_inv`). Other formats
/// leave `scales` empty. NaN codes 0x7F and 0xFF are not checked for here: loaders do, once.
///
/// `row_stride`: elements from row to row where rows do not follow each other (0: k). So gate and up of a checkpoint that interleaves their
/// rows (gpt-oss: base, base + k, row_stride 2k), or keeps them as halves of one tensor, are views too.
template <weight_format F>
struct weight_matrices {
  int experts = 0;
  std::int64_t n = 0, k = 0;
  expert_array<weight_code_t<F>> codes{};
  expert_array<float> scales{};
  std::int64_t row_stride = 0;

  MOESAIC_HD constexpr weight_code_t<F> const* row(std::int64_t e, std::int64_t r) const {
    return codes[e] + r * (row_stride != 0 ? row_stride : k);
  }
};

/// All weights of one MoE layer, E experts and Z zero experts. Members that the model does not have are left empty.
template <class L>
struct layer_weights {
  weight_matrices<L::policy.router> router{};                                    ///< [E+Z, H]
  float const* bias = nullptr;                                                   ///< config.bias: fp32 [E+Z]
  float const* logit_bias = nullptr;                                             ///< config.logit_bias: fp32 [E+Z]
  weight_matrices<L::policy.weights> gate{}, up{}, down{};                       ///< [E][I, H], [E][I, H], [E][H, I]
  expert_array<float> gate_bias{}, up_bias{}, down_bias{};                       ///< config.expert_bias: fp32 [E][I], …, [E][H]
  weight_matrices<L::policy.weights> shared_gate{}, shared_up{}, shared_down{};  ///< config.shared_inter: one "expert" each
  weight_matrices<L::policy.router> shared_token_gate{};                         ///< config.shared_gated: [1, H]
};

}  // namespace moesaic::inline MOESAIC_ABI
