// The whole layer: front, up, down, combine. Written once for every backend.
#pragma once

#include <cstdint>
#include <type_traits>

#include <moesaic/pipeline/stages.hpp>
#include <moesaic/pipeline/workspace.hpp>

namespace moesaic::inline MOESAIC_ABI {

/// What a caller may add to a forward call. Y is the element type of y.
template <class Y>
struct forward_extras {
  topk_choice choice{};             ///< with ids set, the layer's choice is written here instead of into the workspace …
  bool choice_is_given = false;     ///< … or, with this, read from here: the caller's own router (an id outside [0, E): no expert)
  matrix_view<Y const> residual{};  ///< [T, H], added last; may be y
};

namespace detail {

/// Routes, maps, and brings x into the form that the first expert GEMM reads.
template <class L, backend B, class X>
status front(B const& ctx, matrix_view<X const> x, prepared_weights<B, L> const& weights, bool choice_is_given, forward_plan<L, B>& p) {
  constexpr activation_format format = L::policy.activations;
  f32_rows wide;
  if (!choice_is_given || !is_quantized(format))
    if (status const s = widen<X>(ctx, x, p.wide_x, wide); !s) return s;
  if (!choice_is_given)
    if (status const s = route_rows<L>(ctx, wide, weights, p.logits, p.choice); !s) return s;
  if (status const s = ctx.launch(1, build_dispatch_map{p.choice.ids, p.map}); !s) return s;
  if constexpr (is_quantized(format)) {
    return ctx.launch(x.rows * ceil_div(x.cols, scale_block), quantize_rows<X, scale_t<format>>{x, p.rows});
  } else if constexpr (format != activation_format::f32) {
    p.rows = p.rounded;
    return ctx.launch(x.rows, widen_row<X, format>{x, p.rounded});
  } else {
    p.rows = wide;
    return {};
  }
}

/// Two GEMMs and the activation: rows of x → hidden rows. `offsets` null: one expert, all rows. A backend may have the step in one piece,
/// to the same bits.
template <class L, backend B, class Prepared>
status up(B const& ctx, gemm_input<gemm_rows_t<L>> const& x, Prepared const& gate, Prepared const& up, std::int32_t const* offsets,
          std::int32_t const* row_count, typename forward_plan<L, B>::buffers const& b) {
  constexpr activation_format format = L::policy.activations;
  if constexpr (fuses_up<B, L>) {
    return ctx.template up<format>(x, gate, up, offsets, b.target());
  } else {
    if (status const s = ctx.grouped_gemm(x, gate, offsets, b.gate); !s) return s;
    if (status const s = ctx.grouped_gemm(x, up, offsets, b.up); !s) return s;
    if constexpr (is_quantized(format))
      return ctx.launch(b.gate.rows * ceil_div(b.gate.cols, scale_block),
                        activate_quantize_rows<scale_t<format>>{b.gate, b.up, row_count, b.hidden});
    else
      return ctx.launch(b.gate.rows, activate_row<format>{b.gate, b.up, row_count, b.gate});
  }
}

template <class L, backend B, class Prepared>
status down(B const& ctx, typename forward_plan<L, B>::buffers const& b, Prepared const& w, std::int32_t const* offsets,
            matrix_view<float> out) {
  return ctx.grouped_gemm(gemm_input{b.hidden}, w, offsets, out);
}

template <class L, class Y, backend B>
status combine(B const& ctx, forward_plan<L, B> const& p, matrix_view<Y const> residual, matrix_view<Y> y) {
  return ctx.launch(y.rows, combine_row<Y>{p.partials, p.map.slot_to_row, p.choice.weights, L::config.top_k, p.shared_out, residual, y});
}

}  // namespace detail

/// y = Σ_k w_k · down_k(act(gate_k(x)) ⊙ up_k(x)) (+ shared expert) (+ residual) for T = x.rows tokens. x, y [T, H] of f32, bf16 or fp16,
/// row-major, 16-byte aligned rows; y may be x. `weights` from prepare() on the same backend; `workspace` 64-byte aligned, at least
/// workspace_bytes<L>(ctx, T) bytes.
///
/// Rounding points: everything fp32 except where the policy says otherwise for x and the hidden rows, and one rounding to y's type at the
/// end. Deterministic: the same bits for any thread count and in any run; a token's bits do not depend on the rest of its batch. Errors
/// leave y untouched. T = 0 is fine.
template <class L, backend B, class X, class Y>
status forward(B const& ctx, matrix_view<X> x, prepared_weights<B, L> const& weights, matrix_view<Y> y, memory workspace,
               std::type_identity_t<forward_extras<Y>> const& extras = {}) {
  using element = std::remove_const_t<X>;
  constexpr moe_config c = L::config;
  std::int64_t const tokens = x.rows;
  if (status const s = check::first_error(check::rows_of_16_bytes("x", x, tokens, c.hidden), check::slots("x", "rows", tokens, c.top_k),
                                          check::rows_of_16_bytes("y", y, tokens, c.hidden), check::prepared_layer(weights),
                                          check::caller_memory("workspace", workspace, tokens > 0 ? workspace_bytes<L>(ctx, tokens) : 0));
      !s)
    return s;
  if (extras.choice.ids != nullptr || extras.choice_is_given)
    if (status const s = check::choice("extras.choice", extras.choice, tokens, c.top_k); !s) return s;
  if (extras.residual.data != nullptr)
    if (status const s = check::rows_of_16_bytes("extras.residual", extras.residual, tokens, c.hidden); !s) return s;
  if (tokens == 0) return {};

  arena a(workspace);
  auto p = detail::forward_plan<L, B>::take(a, tokens);
  if (extras.choice.ids != nullptr) p.choice = extras.choice;
  std::int32_t const* const offsets = p.map.expert_offsets;

  if (status const s = detail::front<L>(ctx, matrix_view<element const>(x), weights, extras.choice_is_given, p); !s) return s;
  gemm_input<detail::gemm_rows_t<L>> const gathered{p.rows, p.map.row_to_slot, c.top_k};
  if (status const s = detail::up<L>(ctx, gathered, weights.gate, weights.up, offsets, offsets + c.experts, p.routed); !s) return s;
  if (status const s = detail::down<L>(ctx, p.routed, weights.down, offsets, p.partials); !s) return s;
  if constexpr (c.shared_inter > 0) {
    gemm_input<detail::gemm_rows_t<L>> const all{p.rows};
    if (status const s = detail::up<L>(ctx, all, weights.shared_gate, weights.shared_up, nullptr, nullptr, p.shared); !s) return s;
    if (status const s = detail::down<L>(ctx, p.shared, weights.shared_down, nullptr, p.shared_out); !s) return s;
  }
  return detail::combine<L>(ctx, p, extras.residual, y);
}

}  // namespace moesaic::inline MOESAIC_ABI
