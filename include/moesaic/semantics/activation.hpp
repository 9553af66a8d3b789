// The activation between the two expert GEMMs, and the one rounding of the hidden rows.
#pragma once

#include <cstdint>

#include <moesaic/config/layer.hpp>
#include <moesaic/num/convert.hpp>
#include <moesaic/num/exp.hpp>
#include <moesaic/semantics/group.hpp>
#include <moesaic/semantics/handoff.hpp>
#include <moesaic/semantics/quantize.hpp>

namespace moesaic::inline MOESAIC_ABI {

/// The hidden value of one gate and one up value, all in fp32: the formulas of activation_fn, products rounded from left to right. NaN
/// stays NaN. `limit` is +inf where the model has none. geglu_tanh is g · σ(2 √(2/π) (g + 0.044715 g³)), which is the same and accurate for
/// negative g too. A function without gate ignores it.
template <activation_fn A>
MOESAIC_INLINE constexpr float activate(float gate, float up, float limit) {
  float const g = detail::pick(gate > limit, limit, gate);
  float const above = detail::pick(up > limit, limit, up);
  float const u = detail::pick(above < -limit, -limit, above);
  if constexpr (A == activation_fn::swiglu) return product(product(g, sigmoid(g)), u);
  if constexpr (A == activation_fn::swiglu_step) {
    float const silu = product(gate, sigmoid(gate));
    return product(detail::pick(silu > limit, limit, silu), u);
  }
  if constexpr (A == activation_fn::swiglu_oai) return product(product(g, sigmoid(product(1.702F, g))), u + 1.0F);
  if constexpr (A == activation_fn::geglu) return product(product(gate, normal_cdf(gate)), up);
  if constexpr (A == activation_fn::geglu_tanh) {
    float const cube = product(product(gate, gate), gate);
    return product(product(gate, sigmoid(product(0x1.988454p+0F, fma(0x1.6e4e26p-5F, cube, gate)))), up);
  }
  if constexpr (A == activation_fn::situ)
    return product(product(product(4.0F, tanh(product(0.25F, gate))), sigmoid(gate)), product(25.0F, tanh(detail::quotient(up, 25.0F))));
  if constexpr (A == activation_fn::relu2) {
    float const positive = detail::pick(up < 0.0F, 0.0F, up);
    return product(positive, positive);
  }
}

/// v rounded to what an unquantised activation format can hold, widened again.
template <activation_format F>
MOESAIC_INLINE constexpr float round_to(float v) {
  static_assert(!is_quantized(F));
  if constexpr (F == activation_format::bf16) return to_float(to_bf16(v));
  if constexpr (F == activation_format::fp16) return to_float(to_fp16(v));
  return v;
}

/// What some families do to gate and up rows before the activation: multiply them by the slot's weight (weight_site::input: the projections
/// are linear, so this is what multiplying the expert's input means), and add the expert's biases. Row r belongs to slot row_to_slot[r] and
/// expert ids[slot]. Members that the model does not have are null.
struct expert_terms {
  std::int32_t const* row_to_slot = nullptr;  ///< of the dispatch map
  std::int32_t const* ids = nullptr;          ///< of the choice
  float const* weights = nullptr;             ///< of the choice; null unless weight_site::input
  float const* gate_bias = nullptr;           ///< fp32 [E, I]
  float const* up_bias = nullptr;             ///< fp32 [E, I]

  /// One row's share of them.
  struct row_terms {
    float weight;
    float const* gate_bias;
    float const* up_bias;

    MOESAIC_INLINE float gate(float v, std::int64_t c) const { return plus(product(v, weight), gate_bias, c); }
    MOESAIC_INLINE float up(float v, std::int64_t c) const { return plus(product(v, weight), up_bias, c); }

   private:
    MOESAIC_INLINE static float plus(float v, float const* bias, std::int64_t c) { return bias != nullptr ? v + bias[c] : v; }
  };

  MOESAIC_INLINE row_terms of_row(std::int64_t row, std::int64_t inter) const {
    std::int32_t const slot = row_to_slot[row];
    if (slot < 0) return {1.0F, nullptr, nullptr};
    std::int64_t const first = ids[slot] * inter;
    return {weights != nullptr ? weights[slot] : 1.0F, gate_bias != nullptr ? gate_bias + first : nullptr,
            up_bias != nullptr ? up_bias + first : nullptr};
  }
};

/// Of the families that have none of them.
struct no_terms {
  struct row_terms {
    MOESAIC_INLINE float gate(float v, std::int64_t) const { return v; }
    MOESAIC_INLINE float up(float v, std::int64_t) const { return v; }
  };
  MOESAIC_INLINE row_terms of_row(std::int64_t, std::int64_t) const { return {}; }
};

/// Row-wise activation with everything that a family adds to it; A without gate reads no gate row.
template <activation_fn A, class Terms>
struct activation_rule {
  float limit = from_bits(inf_bits);
  Terms terms{};

  /// What gives the hidden value of column c of a row from the two rows of accumulators, gate null where there is none.
  struct row_rule {
    float limit;
    typename Terms::row_terms terms;

    MOESAIC_INLINE float operator()(float const* gate, float const* up, std::int64_t at, std::int64_t c) const {
      if constexpr (is_gated(A))
        return activate<A>(terms.gate(gate[at], c), terms.up(up[at], c), limit);
      else
        return activate<A>(0.0F, terms.up(up[at], c), limit);
    }
  };

  MOESAIC_INLINE row_rule of_row(std::int64_t row, std::int64_t inter) const { return {limit, terms.of_row(row, inter)}; }
};

/// x in fp32, rounded to F: what the first expert GEMM reads.
template <class T, activation_format F>
struct widen_row {
  struct scratch {};

  matrix_view<T const> x;
  matrix_view<float> out;

  template <group G>
  MOESAIC_HD void operator()(G const& g, std::int64_t row, scratch&) const {
    T const* const from = x.row(row);
    float* const to = out.row(row);
    g.for_each(static_cast<int>(x.cols), [=](int c) { to[c] = round_to<F>(to_float(from[c])); });
  }
};

/// out.row(r) = the activation of gate.row(r) and up.row(r), rounded to F, for r < *row_count (all rows if row_count is null). out may be
/// gate or up.
template <activation_format F, activation_fn A, class Terms>
struct activate_row {
  struct scratch {};

  matrix_view<float const> gate, up;
  std::int32_t const* row_count;
  matrix_view<float> out;
  activation_rule<A, Terms> rule;

  template <group G>
  MOESAIC_HD void operator()(G const& g, std::int64_t row, scratch&) const {
    if (row_count != nullptr && row >= *row_count) return;
    float const *const a = is_gated(A) ? gate.row(row) : nullptr, *const b = up.row(row);
    float* const to = out.row(row);
    auto const value = rule.of_row(row, up.cols);
    g.for_each(static_cast<int>(up.cols), [=](int c) { to[c] = round_to<F>(value(a, b, c, c)); });
  }
};

/// Item i = row · blocks + block: that block of the activation, quantised without a rounding in between.
template <class Scale, activation_fn A, class Terms>
struct activate_quantize_rows {
  using scratch = quantize_scratch;

  matrix_view<float const> gate, up;
  std::int32_t const* row_count;
  quantized_rows<Scale> out;
  activation_rule<A, Terms> rule;

  template <group G>
  MOESAIC_HD void operator()(G const& g, std::int64_t i, scratch& s) const {
    std::int64_t const blocks = ceil_div(up.cols, scale_block);
    std::int64_t const row = i / blocks, b = i % blocks, first = b * scale_block;
    if (row_count != nullptr && row >= *row_count) return;
    int const width = static_cast<int>(b + 1 < blocks ? scale_block : up.cols - first);
    float const *const a = is_gated(A) ? gate.row(row) : nullptr, *const u = up.row(row);
    float* const value = s.value;
    auto const rule_of_row = rule.of_row(row, up.cols);
    g.for_each(width, [=](int c) { value[c] = rule_of_row(a, u, first + c, first + c); });
    quantize_block(g, value, width, out, row, b);
  }
};

}  // namespace moesaic::inline MOESAIC_ABI
