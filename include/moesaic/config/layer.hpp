// layer<Model>: the one compile-time value from which every kernel of an MoE layer is made. Kernels take this type.
#pragma once

#include <moesaic/config/moe_config.hpp>
#include <moesaic/config/valid.hpp>

namespace moesaic::inline MOESAIC_ABI {

/// How a weight matrix is stored.
enum class weight_format {
  f32,
  bf16,
  e4m3_128x128,  // E4M3 codes with one fp32 scale for 128 rows × 128 columns (DeepSeek's FP8 checkpoints); edge blocks are cut, not shrunk
};

/// How the rows that a GEMM reads are stored: the layer's input x and the hidden rows between the two expert GEMMs. The router always
/// reads x as given, widened to fp32.
enum class activation_format {
  f32,               // as computed
  bf16,              // rounded once to bf16
  fp16,              // rounded once to fp16; on the CPU in units of a power of two for each 128 columns, so that nothing overflows
  e4m3_1x128,        // E4M3 with an fp32 scale for each 128 columns of a row
  e4m3_1x128_ue8m0,  // the same with the scale rounded up to a power of two
};

MOESAIC_HD constexpr bool is_quantized(activation_format f) {
  return f == activation_format::e4m3_1x128 || f == activation_format::e4m3_1x128_ue8m0;
}

/// What is not the model's but the deployment's choice.
struct layer_policy {
  weight_format weights = weight_format::e4m3_128x128;
  weight_format router = weight_format::bf16;
  activation_format activations = activation_format::f32;
};

/// Policies as types, so that names stay short in errors and profiles. Make your own with the same one member.
namespace policies {
struct fp8_weights {
  static constexpr layer_policy policy{};
};
struct fp8_fp16 {
  static constexpr layer_policy policy{.activations = activation_format::fp16};
};
struct bf16_weights {
  static constexpr layer_policy policy{.weights = weight_format::bf16};
};
struct f32_weights {
  static constexpr layer_policy policy{.weights = weight_format::f32, .router = weight_format::f32};
};
struct fp8_w8a8 {
  static constexpr layer_policy policy{.activations = activation_format::e4m3_1x128};
};
struct fp8_w8a8_ue8m0 {
  static constexpr layer_policy policy{.activations = activation_format::e4m3_1x128_ue8m0};
};
}  // namespace policies

template <class P>
concept router_weights_are_f32_or_bf16 = P::policy.router != weight_format::e4m3_128x128;

template <class Model, class Policy = policies::fp8_weights>
requires valid_model<Model> && router_weights_are_f32_or_bf16<Policy>
struct layer {
  using model = Model;
  static constexpr moe_config config = Model::config;
  static constexpr layer_policy policy = Policy::policy;
};

/// L's shared expert differs from the routed ones in its weights alone, so that a GEMM can have it as one more group.
template <class L>
inline constexpr bool shared_is_like_routed =
    L::config.shared_inter == L::config.inter&& L::config.act_limit == L::config.shared_act_limit && !L::config.expert_bias &&
    L::config.weight_at != weight_site::input;

}  // namespace moesaic::inline MOESAIC_ABI
