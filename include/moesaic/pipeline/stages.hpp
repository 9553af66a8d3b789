// The stages of an MoE layer, each on its own, for engines that replace some of them. Every function checks its arguments, runs on any
// backend, and leaves allocation, synchronisation and threads to the caller.
//
//   route → make_dispatch_map → permute (+ quantize) → grouped_gemm → activation (+ quantize) → grouped_gemm → unpermute
//
// T tokens, E experts, K experts a token, H hidden, I inner width. Matrices that kernels stream are row-major with 16-byte aligned rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <moesaic/core/same_as.hpp>
#include <moesaic/pipeline/arena.hpp>
#include <moesaic/pipeline/backend.hpp>
#include <moesaic/pipeline/check.hpp>
#include <moesaic/pipeline/prepare.hpp>
#include <moesaic/semantics/activation.hpp>
#include <moesaic/semantics/combine.hpp>
#include <moesaic/semantics/dispatch.hpp>
#include <moesaic/semantics/permute.hpp>
#include <moesaic/semantics/quantize.hpp>
#include <moesaic/semantics/select_experts.hpp>

namespace moesaic::inline MOESAIC_ABI {

namespace check {

template <class L>
status logits(matrix_view<float const> const& z, router_biases const& b) {
  constexpr moe_config c = L::config;
  return first_error(matrix("logits", z, z.rows, c.choices()), slots("logits", "rows", z.rows, c.top_k),
                     not_null("biases", "bias", c.bias && b.bias == nullptr),
                     not_null("biases", "logit_bias", c.logit_bias && b.logit_bias == nullptr));
}

}  // namespace check

/// Experts and weights from given router logits fp32 [T, E+Z], as x · W_routerᵀ gives them. `biases`: those that the model has; a model
/// with a correction bias alone takes the pointer itself. Rules and treatment of NaN: semantics/select_experts.hpp. Exact: the same bits on
/// every backend.
template <class L, backend B>
status route_from_logits(B const& ctx, matrix_view<float const> logits, router_biases biases, topk_choice out) {
  if (status const s = check::first_error(check::logits<L>(logits, biases), check::choice("out", out, logits.rows, L::config.top_k));
      !s || logits.rows == 0)
    return s;
  return ctx.launch(logits.rows, select_experts<L>{logits, biases, out});
}

/// The weights of experts that are given: reads choice.ids, writes choice.weights, from logits as above. For routers that choose by a rule
/// of their own and weigh by the model's (DeepSeek-V4's hash layers). An id outside [0, E+Z) weighs 0. Exact.
template <class L, backend B>
status weigh_from_logits(B const& ctx, matrix_view<float const> logits, router_biases biases, topk_choice choice) {
  if (status const s = check::first_error(check::logits<L>(logits, biases), check::choice("choice", choice, logits.rows, L::config.top_k));
      !s || logits.rows == 0)
    return s;
  return ctx.launch(logits.rows, weigh_experts<L>{logits, biases, choice});
}

namespace detail {

/// x as fp32 rows: itself, or widened exactly into `buffer` [T, H].
template <class X, backend B>
status widen(B const& ctx, matrix_view<X const> x, float* buffer, f32_rows& rows) {
  if constexpr (detail::same_as<X, float>) {
    rows = x;
    return {};
  } else {
    matrix_view<float> const wide(buffer, x.rows, x.cols);
    rows = wide;
    return ctx.launch(x.rows, widen_row<X, activation_format::f32>{x, wide});
  }
}

template <class L, backend B, class Rows>
status route_logits(B const& ctx, Rows const& x, prepared_weights<B, L> const& weights, float* logits) {
  return ctx.grouped_gemm(gemm_input{x}, weights.router, nullptr, matrix_view<float>(logits, x.rows, L::config.choices()));
}

template <class L, backend B>
select_experts<L> selection(prepared_weights<B, L> const& weights, float const* logits, topk_choice const& out) {
  return {{logits, out.tokens, L::config.choices()}, {weights.bias, weights.logit_bias}, out};
}

template <class L, backend B, class Rows>
status route_rows(B const& ctx, Rows const& x, prepared_weights<B, L> const& weights, float* logits, bool ids_are_given, topk_choice out) {
  if (status const s = route_logits<L>(ctx, x, weights, logits); !s) return s;
  select_experts<L> const select = selection<L>(weights, logits, out);
  if (ids_are_given) return ctx.launch(x.rows, weigh_experts<L>{select.logits, select.biases, out});
  return ctx.launch(x.rows, select);
}

}  // namespace detail

/// Bytes of scratch that route() needs for T tokens.
template <class L>
std::size_t route_bytes(std::int64_t tokens) {
  arena a;
  a.take<float>(tokens * L::config.choices());
  a.take<float>(tokens * L::config.hidden);
  return a.used();
}

/// The router: logits = x · W_routerᵀ with fp32 products and sums, then route_from_logits. x [T, H] of f32, bf16 or fp16. Scratch: 64-byte
/// aligned, route_bytes<L>(T). The logits' bits are one backend's and one instruction set's; a token's never depend on its batch.
template <class L, backend B, class X>
status route(B const& ctx, matrix_view<X> x, prepared_weights<B, L> const& weights, memory scratch, topk_choice out) {
  using element = std::remove_const_t<X>;
  if (status const s =
          check::first_error(check::rows_of_16_bytes("x", x, x.rows, L::config.hidden), check::slots("x", "rows", x.rows, L::config.top_k),
                             check::choice("out", out, x.rows, L::config.top_k), check::prepared_router(weights),
                             check::caller_memory("scratch", scratch, route_bytes<L>(x.rows)));
      !s || x.rows == 0)
    return s;
  arena a(scratch);
  float* const logits = a.take<float>(x.rows * L::config.choices());
  if constexpr (reads_rows_of<B, element>) {
    return detail::route_rows<L>(ctx, matrix_view<element const>(x), weights, logits, false, out);
  } else {
    f32_rows rows;
    if (status const s = detail::widen<element>(ctx, x, a.take<float>(x.rows * L::config.hidden), rows); !s) return s;
    return detail::route_rows<L>(ctx, rows, weights, logits, false, out);
  }
}

/// Fills every entry of `map` from choice.ids. An id outside [0, map.experts) means that the slot has no row, and so does a token from
/// *valid_tokens on: an i32 where the backend can read it, for batches that are padded to a fixed size; null: all are valid. Exact and
/// stable; T = 0 gives offsets of 0.
template <backend B>
status make_dispatch_map(B const& ctx, topk_choice choice, dispatch_map map, std::int32_t const* valid_tokens = nullptr) {
  if (status const s = check::first_error(check::at_most("choice", "top_k", choice.top_k, 0x7fffffff),
                                          check::slots("choice", "tokens", choice.tokens, choice.top_k),
                                          check::not_null("choice", "ids", choice.tokens > 0 && choice.ids == nullptr),
                                          check::map("map", map, choice.tokens, choice.top_k));
      !s)
    return s;
  return ctx.launch(1, build_dispatch_map{choice.ids, map, valid_tokens});
}

/// out.row(r) = x.row(token of r) for every row of the map; out [T·K, H]. Rows behind expert_offsets[E] are left alone. An exact copy.
template <backend B, class X>
status permute(B const& ctx, matrix_view<X> x, dispatch_map map, matrix_view<std::remove_const_t<X>> out) {
  using element = std::remove_const_t<X>;
  if (status const s = check::first_error(check::map("map", map, x.rows, map.top_k), check::rows_of_16_bytes("x", x, x.rows, x.cols),
                                          check::rows_of_16_bytes("out", out, x.rows * map.top_k, x.cols));
      !s || x.rows == 0)
    return s;
  return ctx.launch(out.rows, permute_row<element>{x, {map.row_to_slot, map.slot_to_row}, map.top_k, out});
}

/// The same for quantised rows.
template <backend B, class Scale>
status permute(B const& ctx, quantized_rows<Scale> x, dispatch_map map, quantized_rows<Scale> out) {
  if (status const s = check::first_error(check::map("map", map, x.rows, map.top_k), check::quantized("x", x, x.rows, x.cols),
                                          check::quantized("out", out, x.rows * map.top_k, x.cols));
      !s || x.rows == 0)
    return s;
  return ctx.launch(out.rows, permute_quantized_row<Scale>{x, {map.row_to_slot, map.slot_to_row}, map.top_k, out});
}

/// x [rows, cols] of f32, bf16 or fp16 → E4M3 codes with one scale for 128 columns, fp32 or (Scale = u8) UE8M0. Exact.
template <backend B, class X, class Scale>
status quantize(B const& ctx, matrix_view<X> x, quantized_rows<Scale> out) {
  using element = std::remove_const_t<X>;
  if (status const s = check::first_error(check::rows_of_16_bytes("x", x, x.rows, x.cols), check::quantized("out", out, x.rows, x.cols));
      !s || x.rows == 0)
    return s;
  return ctx.launch(x.rows * ceil_div(x.cols, scale_block), quantize_rows<element, Scale>{x, out});
}

namespace detail {
inline status check_gemm_rows(f32_rows const& rows, std::int64_t k) { return check::rows_of_16_bytes("a.rows", rows, rows.rows, k); }
template <class Scale>
status check_gemm_rows(quantized_rows<Scale> const& rows, std::int64_t k) {
  return check::quantized("a.rows", rows, rows.rows, k);
}
}  // namespace detail

/// out.row(r) = a.row(source of r) · W_eᵀ in fp32, for the rows r in [expert_offsets[e], expert_offsets[e+1]) of every expert e of w.
/// Null expert_offsets: all rows of out belong to expert 0, which makes it a plain linear layer. a: rows [M, k] sorted by expert, or rows
/// [T, k] gathered through row_to_slot; f32_rows or quantized_rows. out [M, n], or with gathered rows any number of rows. Scales and order
/// of addition: semantics/gemm.hpp; each backend states its error against float64. The bits of a row depend on nothing but that row and its
/// expert.
template <backend B, class Rows, class Prepared>
status grouped_gemm(B const& ctx, gemm_input<Rows> a, Prepared const& w, std::int32_t const* expert_offsets, matrix_view<float> out) {
  if (status const s = check::first_error(detail::check_gemm_rows(a.rows, w.k), check::matrix("out", out, out.rows, w.n),
                                          check::at_most("a", "top_k", a.top_k, 0x7fffffff),
                                          check::not_null("expert_offsets", "", expert_offsets == nullptr && w.experts > 1));
      !s)
    return s;
  if (a.row_to_slot == nullptr)
    if (status const s = check::equal("a", "rows", a.rows.rows, out.rows); !s) return s;
  if (out.rows == 0 || w.experts == 0) return {};
  return ctx.grouped_gemm(a, w, expert_offsets, out);
}

namespace detail {

template <activation_fn A, class Terms>
status check_activation(matrix_view<float const> const& gate, matrix_view<float const> const& up, activation_rule<A, Terms> const& rule) {
  if constexpr (is_gated(A))
    if (status const s =
            check::first_error(check::matrix("gate", gate, gate.rows, gate.cols), check::matrix("up", up, gate.rows, gate.cols));
        !s)
      return s;
  if constexpr (detail::same_as<Terms, expert_terms>)
    if (status const s = check::first_error(check::not_null("rule", "terms.row_to_slot", up.rows > 0 && rule.terms.row_to_slot == nullptr),
                                            check::not_null("rule", "terms.ids", up.rows > 0 && rule.terms.ids == nullptr));
        !s)
      return s;
  if (rule.limit < 0.0F) return {errc::too_small, "rule", "limit", rule.limit > -1.0F ? -1 : static_cast<long long>(rule.limit), 0};
  return check::matrix("up", up, up.rows, up.cols);
}

}  // namespace detail

/// out = silu(gate) · up in fp32, [rows, I], or what `rule` says: activation_rule<activation_fn::…, no_terms>{.limit = …}. out may be gate
/// or up; an activation without gate ignores `gate`. `row_count`: null, or where the number of leading rows to do stands (the last entry of
/// expert_offsets). Exact.
template <activation_format F = activation_format::f32, backend B, activation_fn A = activation_fn::swiglu, class Terms = no_terms>
status activation(B const& ctx, matrix_view<float const> gate, matrix_view<float const> up, matrix_view<float> out,
                  std::int32_t const* row_count = nullptr, activation_rule<A, Terms> const& rule = {}) {
  if (status const s = check::first_error(detail::check_activation(gate, up, rule), check::matrix("out", out, up.rows, up.cols));
      !s || up.rows == 0)
    return s;
  return ctx.launch(up.rows, activate_row<F, A, Terms>{gate, up, row_count, out, rule});
}

/// The same, quantised straight from fp32 without a rounding in between.
template <backend B, class Scale, activation_fn A = activation_fn::swiglu, class Terms = no_terms>
status activation(B const& ctx, matrix_view<float const> gate, matrix_view<float const> up, quantized_rows<Scale> out,
                  std::int32_t const* row_count = nullptr, activation_rule<A, Terms> const& rule = {}) {
  if (status const s = check::first_error(detail::check_activation(gate, up, rule), check::quantized("out", out, up.rows, up.cols));
      !s || up.rows == 0)
    return s;
  return ctx.launch(up.rows * ceil_div(up.cols, scale_block), activate_quantize_rows<Scale, A, Terms>{gate, up, row_count, out, rule});
}

/// y[t] = Σ_k choice.weights[t, k] · partials[slot_to_row[t, k]] and what `extras` adds (semantics/combine.hpp: the shared expert, the
/// residual, and the rules of some families), in fp32, rounded once to y's type. partials [T·K, H] of f32, bf16 or fp16 in row order.
/// Exact.
template <backend B, class P, class Y>
status unpermute(B const& ctx, matrix_view<P> partials, dispatch_map map, topk_choice choice, matrix_view<Y> y,
                 std::type_identity_t<combine_extras<Y, std::remove_const_t<P>>> const& extras = {}) {
  using partial = std::remove_const_t<P>;
  std::int64_t const tokens = y.rows;
  if (status const s = check::first_error(check::rows_of_16_bytes("y", y, tokens, y.cols), check::map("map", map, tokens, map.top_k),
                                          check::choice("choice", choice, tokens, map.top_k),
                                          check::rows_of_16_bytes("partials", partials, tokens * map.top_k, y.cols));
      !s || tokens == 0)
    return s;
  if (extras.shared.data != nullptr)
    if (status const s = check::rows_of_16_bytes("extras.shared", extras.shared, tokens, y.cols); !s) return s;
  if (extras.residual.data != nullptr)
    if (status const s = check::rows_of_16_bytes("extras.residual", extras.residual, tokens, y.cols); !s) return s;
  if (extras.zero_experts != 0)
    if (status const s = check::rows_of_16_bytes("extras.identity", extras.identity, tokens, y.cols); !s) return s;
  return ctx.launch(tokens, combine_row<Y, partial>{partials, map, choice.ids, choice.weights, extras, y});
}

}  // namespace moesaic::inline MOESAIC_ABI
