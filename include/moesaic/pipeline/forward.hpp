// The whole layer: front, up, down, combine. Written once for every backend.
#pragma once

#include <cstdint>
#include <type_traits>

#include <moesaic/pipeline/stages.hpp>
#include <moesaic/pipeline/workspace.hpp>

namespace moesaic::inline MOESAIC_ABI {

/// What of the choice is the caller's own.
enum class given_choice {
  nothing,          // the router chooses and weighs
  ids,              // the ids are read, the model's router weighs them (DeepSeek-V4's hash layers)
  ids_and_weights,  // both are read; the router does not run
};

/// What a caller may add to a forward call. Y is the element type of y.
template <class Y>
struct forward_extras {
  topk_choice choice{};                        ///< with ids set, the layer's choice is written here instead of into the workspace …
  given_choice given = given_choice::nothing;  ///< … or what is given of it is read from here (an id outside [0, E+Z): no expert)
  matrix_view<Y const> residual{};             ///< [T, H], added last; may be y
  std::int32_t const* valid_tokens = nullptr;  ///< where the number of leading tokens that count stands; those behind have no experts
};

namespace detail {

constexpr float limit_or_infinity(float limit) { return limit > 0.0F ? limit : from_bits(inf_bits); }

/// x as a row for each token, which the first expert GEMMs gather by the map, unless they read x itself. `quantized`: those rows are there,
/// and counters zeroed.
template <class L, backend B, class X>
status rows_by_token(B const& ctx, matrix_view<X const> x, forward_plan<L, B>& p, bool quantized) {
  constexpr activation_format format = L::policy.activations;
  status s;
  if constexpr (experts_read<B, L, X>) return s;
  if constexpr (is_quantized(format)) {
    if (!quantized) s = ctx.launch(x.rows * ceil_div(x.cols, scale_block), quantize_rows<X, scale_t<format>>{x, p.shared_x.rows});
    if constexpr (quantizes_up<B, L>)
      if (!quantized && s) s = ctx.clear(p.up_counters);
  } else if constexpr (format != activation_format::f32) {
    p.shared_x.rows = p.rounded;
    s = ctx.launch(x.rows, widen_row<X, format>{x, p.rounded});
  } else {
    p.shared_x.rows = p.wide;
  }
  p.routed_x = {p.shared_x.rows, p.map.row_to_slot, L::config.top_k};
  return s;
}

/// The backend's own rows of the shared expert, where it does not run with the routed ones.
template <class L, backend B, class X>
status own_shared_rows(B const& ctx, matrix_view<X const> x, forward_plan<L, B>& p) {
  if constexpr (L::config.shared_inter > 0 && !folds_shared<B, L>)
    return ctx.template gather<L::policy.activations>(x, dispatch_map{}, p.shared_x.rows);
  else
    return {};
}

/// What follows the router's GEMM, in one piece. Select: select_experts<L> or given_experts<L>.
template <class L, backend B, class X, class Select>
status front_in_one(B const& ctx, matrix_view<X const> x, Select const& select, build_dispatch_map const& map, forward_plan<L, B>& p) {
  if constexpr (gathers_own_rows<B, L>) {
    p.routed_x = {p.routed_x.rows, p.map.row_to_slot, L::config.top_k};
    return ctx.front(select, map, p.front_scratch, x, p.routed_x.rows);
  } else if constexpr (has_own_rows<B, L>) {
    status const s = ctx.front(select, map, p.front_scratch, x, p.routed_x.rows, folds_shared<B, L> ? x.rows : std::int64_t{0});
    return s ? own_shared_rows<L>(ctx, x, p) : s;
  } else if constexpr (is_quantized(L::policy.activations)) {
    status const s = ctx.front(select, map, p.front_scratch, x, p.shared_x.rows, p.up_counters);
    return s ? rows_by_token<L>(ctx, x, p, true) : s;
  } else {
    status const s = ctx.front(select, map, p.front_scratch);
    return s ? rows_by_token<L>(ctx, x, p, false) : s;
  }
}

/// The same where the experts are known, step by step.
template <class L, backend B, class X>
status front_in_steps(B const& ctx, matrix_view<X const> x, build_dispatch_map const& map, forward_plan<L, B>& p) {
  constexpr activation_format format = L::policy.activations;
  if (status const s = ctx.launch(1, map); !s) return s;
  if constexpr (gathers_own_rows<B, L>) {
    p.routed_x = {p.routed_x.rows, p.map.row_to_slot, L::config.top_k};
    return ctx.template gather<format>(x, dispatch_map{}, p.routed_x.rows);
  } else if constexpr (has_own_rows<B, L> && folds_shared<B, L>) {
    return ctx.template gather<format>(x, p.map, p.routed_x.rows, x.rows);
  } else if constexpr (has_own_rows<B, L>) {
    status const s = ctx.template gather<format>(x, p.map, p.routed_x.rows);
    return s ? own_shared_rows<L>(ctx, x, p) : s;
  } else {
    return rows_by_token<L>(ctx, x, p, false);
  }
}

/// Routes, maps, and brings x into the form that the first expert GEMM reads.
template <class L, backend B, class X>
status front(B const& ctx, matrix_view<X const> x, prepared_weights<B, L> const& weights, given_choice given,
             std::int32_t const* valid_tokens, forward_plan<L, B>& p) {
  constexpr moe_config c = L::config;
  constexpr activation_format format = L::policy.activations;
  bool const routes = given != given_choice::ids_and_weights;
  constexpr bool router_reads_x = reads_rows_of<B, X>;
  build_dispatch_map const map{p.choice.ids, p.map, valid_tokens};
  if ((routes && !router_reads_x) || (!is_quantized(format) && !has_own_rows<B, L> && !experts_read<B, L, X>) || c.zero_experts > 0 ||
      c.shared_gated)
    if (status const s = widen<X>(ctx, x, p.wide_x, p.wide); !s) return s;
  if (routes) {
    std::conditional_t<router_reads_x, matrix_view<X const>, f32_rows> rows;
    if constexpr (router_reads_x)
      rows = x;
    else
      rows = p.wide;
    if constexpr (fuses_front<B, L>)
      if (given == given_choice::nothing) {
        status const s = route_logits<L>(ctx, rows, weights, p.logits);
        return s ? front_in_one<L>(ctx, x, selection<L>(weights, p.logits, p.choice), map, p) : s;
      }
    if (status const s = route_rows<L>(ctx, rows, weights, p.logits, given == given_choice::ids, p.choice); !s) return s;
  }
  if constexpr (fuses_front<B, L>)
    return front_in_one<L>(ctx, x, given_experts<L>{}, map, p);
  else
    return front_in_steps<L>(ctx, x, map, p);
}

/// Two GEMMs and the activation, in one piece where the backend has it: rows of x → hidden rows. `offsets` null: one expert, all rows.
/// `shared`: nothing, or the shared expert's gate and up weights and the number of its rows, which come first.
template <class L, backend B, class Input, class Prepared, activation_fn A, class Terms, class... Shared>
status up(B const& ctx, Input const& x, Prepared const& gate, Prepared const& up, std::int32_t const* offsets,
          std::int32_t const* row_count, activation_rule<A, Terms> const& rule, typename forward_plan<L, B>::buffers const& b,
          Shared const&... shared) {
  constexpr activation_format format = L::policy.activations;
  if constexpr (has_own_rows<B, L>) {
    return ctx.template up<format>(x, gate, up, offsets, rule, b.hidden, shared...);
  } else if constexpr (quantizes_up<B, L>) {
    return ctx.up_and_quantize(x, gate, up, offsets, rule, b.up, b.hidden, b.counters, shared...);
  } else if constexpr (fuses_up<B, L>) {
    constexpr activation_format rounded = is_quantized(format) ? activation_format::f32 : format;
    status const s = ctx.template up<rounded>(x, gate, up, offsets, rule, b.up, shared...);
    if constexpr (is_quantized(format))
      if (s)
        return ctx.launch(b.up.rows * ceil_div(b.up.cols, scale_block), quantize_rows<float, scale_t<format>>{b.up, b.hidden, row_count});
    return s;
  } else {
    if constexpr (is_gated(A))
      if (status const s = ctx.grouped_gemm(x, gate, offsets, b.gate); !s) return s;
    if (status const s = ctx.grouped_gemm(x, up, offsets, b.up); !s) return s;
    if constexpr (is_quantized(format))
      return ctx.launch(b.up.rows * ceil_div(b.up.cols, scale_block),
                        activate_quantize_rows<scale_t<format>, A, Terms>{b.gate, b.up, row_count, b.hidden, rule});
    else
      return ctx.launch(b.up.rows, activate_row<format, A, Terms>{b.gate, b.up, row_count, b.up, rule});
  }
}

/// The routed experts' activation with all that the model adds to it.
template <class L, backend B>
activation_rule<L::config.act, terms_of<L>> routed_rule(prepared_weights<B, L> const& w, forward_plan<L, B> const& p) {
  constexpr moe_config c = L::config;
  activation_rule<c.act, terms_of<L>> rule{limit_or_infinity(c.act_limit)};
  if constexpr (std::is_same_v<terms_of<L>, expert_terms>)
    rule.terms = {p.map.row_to_slot, p.choice.ids, c.weight_at == weight_site::input ? p.choice.weights : nullptr, w.gate_bias, w.up_bias};
  return rule;
}

/// Rows of the routed experts and of the shared one through the first GEMM; the shared one's through the second too where it is not folded.
template <class L, backend B, class Input>
status up_all(B const& ctx, prepared_weights<B, L> const& w, Input const& routed_x, Input const& shared_x, forward_plan<L, B> const& p) {
  constexpr moe_config c = L::config;
  std::int32_t const* const offsets = p.map.expert_offsets;
  auto const rule = routed_rule<L>(w, p);
  if constexpr (folds_shared<B, L>) {
    // row_count would not count the shared ones: a launch that quantises by itself has all rows, those behind the last routed one as well.
    return up<L>(ctx, routed_x, w.gate, w.up, offsets, nullptr, rule, p.routed, &w.shared_gate, &w.shared_up, p.shared_out.rows);
  } else {
    if (status const s = up<L>(ctx, routed_x, w.gate, w.up, offsets, offsets + c.experts, rule, p.routed); !s || c.shared_inter == 0)
      return s;
    activation_rule<c.act, no_terms> const shared_rule{limit_or_infinity(c.shared_act_limit)};
    if (status const s = up<L>(ctx, shared_x, w.shared_gate, w.shared_up, nullptr, nullptr, shared_rule, p.shared); !s) return s;
    return ctx.grouped_gemm(gemm_input{p.shared.hidden}, w.shared_down, nullptr, p.shared_out);
  }
}

/// The second GEMM and the sum.
template <class L, backend B, class Y>
status down_all(B const& ctx, prepared_weights<B, L> const& w, forward_plan<L, B> const& p,
                combine_row<Y, partial_t<L, B>> const& combine) {
  constexpr bool folds = folds_shared<B, L>;
  std::int64_t const tokens = combine.y.rows, shared_rows = folds ? tokens : 0;
  gemm_input const hidden{p.routed.hidden};
  matrix_view<partial_t<L, B>> const all{folds ? p.shared_out.data : p.partials.data, shared_rows + p.partials.rows, p.partials.cols};
  if constexpr (requires { B::template combines<L>(tokens); })
    if (combines_in_down<B, L>(tokens))
      return ctx.down_and_combine(hidden, w.down, p.map.expert_offsets, folds ? &w.shared_down : nullptr, shared_rows, all, combine);
  status s;
  if constexpr (folds)
    s = ctx.grouped_gemm(hidden, w.down, p.map.expert_offsets, all, &w.shared_down, shared_rows);
  else
    s = ctx.grouped_gemm(hidden, w.down, p.map.expert_offsets, all);
  return s ? ctx.launch(tokens, combine) : s;
}

/// What the model's combine adds to the weighted sum.
template <class L, class Y, backend B>
combine_extras<Y, partial_t<L, B>> combine_extras_of(prepared_weights<B, L> const& w, forward_plan<L, B> const& p,
                                                     forward_extras<Y> const& extras) {
  constexpr moe_config c = L::config;
  return {.shared = p.shared_out,
          .residual = extras.residual,
          .routed_scale = c.scale_at == scale_site::output ? c.route_scale : 1.0F,
          .shared_scale = c.shared_scale,
          .shared_gate = p.shared_gate,
          .down_bias = w.down_bias,
          .weights_are_applied = c.weight_at == weight_site::input,
          .identity = c.zero_experts > 0 ? p.wide : f32_rows{},
          .valid_tokens = extras.valid_tokens,
          .zero_experts = c.zero_experts};
}

}  // namespace detail

/// y = Σ_k w_k · expert_k(x) (+ shared expert) (+ residual) for T = x.rows tokens; what an expert computes is the model's to say
/// (moe_config). x, y [T, H] of f32, bf16 or fp16, row-major, 16-byte aligned rows; y may be x. `weights` from prepare() on the same
/// backend; `workspace` 64-byte aligned, at least workspace_bytes<L>(ctx, T) bytes.
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
  if (extras.choice.ids != nullptr || extras.given != given_choice::nothing)
    if (status const s = check::choice("extras.choice", extras.choice, tokens, c.top_k); !s) return s;
  if (extras.residual.data != nullptr)
    if (status const s = check::rows_of_16_bytes("extras.residual", extras.residual, tokens, c.hidden); !s) return s;
  if (tokens == 0) return {};

  arena a(workspace);
  auto p = detail::forward_plan<L, B>::take(a, tokens);
  if (extras.choice.ids != nullptr) p.choice = extras.choice;

  if (status const s = detail::front<L>(ctx, matrix_view<element const>(x), weights, extras.given, extras.valid_tokens, p); !s) return s;
  status up;
  if constexpr (detail::experts_read<B, L, element>) {
    matrix_view<element const> const rows = x;
    up = detail::up_all<L>(ctx, weights, gemm_input{rows, p.map.row_to_slot, c.top_k}, gemm_input{rows}, p);
  } else {
    up = detail::up_all<L>(ctx, weights, p.routed_x, p.shared_x, p);
  }
  if (!up) return up;
  if constexpr (c.shared_gated)
    if (status const s =
            ctx.grouped_gemm(gemm_input{p.wide}, weights.shared_token_gate, nullptr, matrix_view<float>(p.shared_gate, tokens, 1));
        !s)
      return s;
  return detail::down_all<L>(ctx, weights, p,
                             combine_row<Y, detail::partial_t<L, B>>{p.partials, p.map, p.choice.ids, p.choice.weights,
                                                                     detail::combine_extras_of<L>(weights, p, extras), y});
}

}  // namespace moesaic::inline MOESAIC_ABI
