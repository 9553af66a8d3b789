// The weighted sum of a token's expert rows: where unpermute and combine meet.
#pragma once

#include <cstdint>

#include <moesaic/num/convert.hpp>
#include <moesaic/num/exp.hpp>
#include <moesaic/num/fma.hpp>
#include <moesaic/semantics/group.hpp>
#include <moesaic/semantics/handoff.hpp>

namespace moesaic::inline MOESAIC_ABI {

/// What a token's sum may hold beside its experts' rows. Everything may be left out. Y is the element type of y, P that of what a down GEMM
/// writes: float, bf16 or fp16.
template <class Y, class P = float>
struct combine_extras {
  matrix_view<P const> shared{};               ///< [T, H] rows of the shared expert
  matrix_view<Y const> residual{};             ///< [T, H], added last; may be y
  float routed_scale = 1.0F;                   ///< multiplies the sum over the experts (scale_site::output)
  float shared_scale = 1.0F;                   ///< multiplies shared …
  float const* shared_gate = nullptr;          ///< … or, with this [T], σ(shared_gate[t]) does (config.shared_gated)
  float const* down_bias = nullptr;            ///< [E, H], added to every row of its expert (config.expert_bias)
  bool weights_are_applied = false;            ///< rows count once, not choice.weights times (weight_site::input)
  matrix_view<float const> identity{};         ///< [T, H]: what the choices E … E+zero_experts−1 give, the layer's input
  std::int32_t const* valid_tokens = nullptr;  ///< as make_dispatch_map has it: padding gets nothing of them
  int zero_experts = 0;                        ///< Z
};

/// y[t] = Σ_{k = 0 … K−1} weights[t, k] · partials[slot_to_row[t, k]], one fp32 fma a term, in slot order, starting from 0; the sum times
/// routed_scale; then + shared_scale · shared[t] by fma, then + residual[t], then one rounding to Y. Slots without a row (−1) contribute
/// nothing, unless they are zero experts, which add weights[t, k] · identity[t]. Deterministic: nothing depends on the order in which rows
/// were computed.
template <class Y, class P = float>
struct combine_row {
  /// Columns that a thread adds up at a time: what a processor's vectors like; on a GPU one, so that neighbours read neighbours and the
  /// sum is in a register.
#if defined(__CUDA_ARCH__) || defined(__HIP_DEVICE_COMPILE__)
  static constexpr int chunk = 1;
#else
  static constexpr int chunk = 64;
#endif
  struct scratch {};

  matrix_view<P const> partials;
  dispatch_map map;
  std::int32_t const* ids;
  float const* weights;
  combine_extras<Y, P> extras;
  matrix_view<Y> y;

  template <group G>
  MOESAIC_HD void operator()(G const& g, std::int64_t t, scratch&) const {
    columns(g, t, 0, y.cols);
  }

  /// The columns [first, last) of row t alone.
  template <group G>
  MOESAIC_HD void columns(G const& g, std::int64_t t, std::int64_t first, std::int64_t last) const {
    combine_row const self = *this;
    float const scale = extras.shared_gate != nullptr ? sigmoid(extras.shared_gate[t]) : extras.shared_scale;
    g.for_each(static_cast<int>((last - first + chunk - 1) / chunk), [self, t, first, last, scale](int c) {
      std::int64_t const at = first + std::int64_t{c} * chunk;
      if (at + chunk <= last)
        self.sum(t, at, chunk, scale);
      else
        self.sum(t, at, static_cast<int>(last - at), scale);
    });
  }

 private:
  MOESAIC_INLINE void sum(std::int64_t t, std::int64_t first, int width, float shared_scale) const {
    float acc[chunk] = {};
    for (int k = 0; k < map.top_k; ++k) {
      std::int64_t const slot = t * map.top_k + k;
      std::int32_t const row = map.slot_to_row[slot];
      float const w = extras.weights_are_applied ? 1.0F : weights[slot];
      if (row >= 0) {
        add(acc, w, partials.row(row) + first, extras.down_bias != nullptr ? extras.down_bias + ids[slot] * y.cols + first : nullptr,
            width);
      } else if (ids[slot] >= map.experts && ids[slot] < map.experts + extras.zero_experts && valid(t)) {
        add(acc, w, extras.identity.row(t) + first, nullptr, width);
      }
    }
    if (extras.routed_scale != 1.0F)
      for (int c = 0; c < width; ++c) acc[c] = product(acc[c], extras.routed_scale);
    if (extras.shared.data != nullptr)
      for (int c = 0; c < width; ++c) acc[c] = fma(shared_scale, to_float(extras.shared(t, first + c)), acc[c]);
    if (extras.residual.data != nullptr)
      for (int c = 0; c < width; ++c) acc[c] += to_float(extras.residual(t, first + c));
    Y* const out = y.row(t) + first;
    for (int c = 0; c < width; ++c) out[c] = from_float<Y>(acc[c]);
  }

  MOESAIC_INLINE bool valid(std::int64_t t) const { return extras.valid_tokens == nullptr || t < *extras.valid_tokens; }

  template <class T>
  MOESAIC_INLINE static void add(float* acc, float w, T const* p, float const* bias, int width) {
    if (bias != nullptr)
      for (int c = 0; c < width; ++c) acc[c] = fma(w, to_float(p[c]) + bias[c], acc[c]);
    else
      for (int c = 0; c < width; ++c) acc[c] = fma(w, to_float(p[c]), acc[c]);
  }
};

}  // namespace moesaic::inline MOESAIC_ABI
