// Where everything that one forward call needs lies in the caller's workspace.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <moesaic/pipeline/arena.hpp>
#include <moesaic/pipeline/backend.hpp>
#include <moesaic/semantics/activation.hpp>
#include <moesaic/semantics/gemm.hpp>
#include <moesaic/semantics/handoff.hpp>

namespace moesaic::inline MOESAIC_ABI {

namespace detail {

template <activation_format F>
struct scale_type {
  using type = float;
};
template <>
struct scale_type<activation_format::e4m3_1x128_ue8m0> {
  using type = std::uint8_t;
};
template <activation_format F>
using scale_t = typename scale_type<F>::type;

/// What a GEMM of the layer reads: quantised rows, or fp32 (already rounded to the activation format).
template <activation_format F>
struct gemm_rows {
  using type = f32_rows;
};
template <activation_format F>
requires(is_quantized(F)) struct gemm_rows<F> {
  using type = quantized_rows<scale_t<F>>;
};

/// Whether B has expert GEMMs for rows of its own: a type B::rows<L> that takes memory out of an arena, a member gather<activations>(x,
/// map, rows) that fills it, and the step up in one piece.
template <class B, class L>
concept has_own_rows = requires {
  typename B::template rows<L>;
};

/// Whether B's rows of its own are the tokens', which its step up gathers by the map.
template <class B, class L>
inline constexpr bool gathers_own_rows = false;
template <class B, class L>
requires(has_own_rows<B, L>) && requires { B::template gathers_own<L>; }
inline constexpr bool gathers_own_rows<B, L> = B::template gathers_own<L>;

/// What B's expert GEMMs read.
template <class L, class B>
struct expert_rows : gemm_rows<L::policy.activations> {};
template <class L, class B>
requires(has_own_rows<B, L>) struct expert_rows<L, B> {
  using type = typename B::template rows<L>;
};
template <class L, class B>
using expert_rows_t = typename expert_rows<L, B>::type;

/// Whether B has the step up in one piece, up<activations>(rows, gate, up, expert_offsets, activation rule, hidden rows): for rows of its
/// own, and where it says so; then hidden rows are fp32, which forward quantises unless B does.
template <class B, class L>
inline constexpr bool fuses_up = has_own_rows<B, L>;
template <class B, class L>
requires requires { B::template fuses_up<L>; }
inline constexpr bool fuses_up<B, L> = has_own_rows<B, L> || B::template fuses_up<L>;

/// Whether B quantises the hidden rows of such a step up along the way, up_and_quantize, which has them in fp32 on the way and counts what
/// is done: B::up_counter_bytes(rows, groups, columns) bytes, which front(…, counters) or clear(counters) has zeroed.
template <class B, class L>
inline constexpr bool quantizes_up = false;
template <class B, class L>
requires(!has_own_rows<B, L> && fuses_up<B, L>) && requires { B::template quantizes_up<L>; }
inline constexpr bool quantizes_up<B, L> = B::template quantizes_up<L>;

/// Whether B's step up reads x of X as it is, where the policy does not round it: the router is not the only one to need no copy in fp32.
template <class B, class L, class X>
inline constexpr bool experts_read =
    !has_own_rows<B, L> && fuses_up<B, L> && L::policy.activations == activation_format::f32 && reads_rows_of<B, X>;

/// Whether B multiplies L's shared expert along with the routed ones, in the step up in one piece and in the step down: up and grouped_gemm
/// then take its weights and the number of its rows, which come first, as well, and so does gather of rows of its own.
template <class B, class L>
inline constexpr bool folds_shared = false;
template <class B, class L>
requires(fuses_up<B, L>&& L::config.shared_inter > 0) && requires { B::template folds_shared<L>; }
inline constexpr bool folds_shared<B, L> = B::template folds_shared<L>;

/// Whether B has the front in one piece, front(select, map, scratch[, x, rows[, shared_rows or counters]]) with front_bytes<L>(tokens) of
/// scratch: the experts are selected unless they are given, the map made, and x quantised where there are rows, as by the backend's gather
/// where they are its own.
template <class B, class L>
inline constexpr bool fuses_front = false;
template <class B, class L>
requires requires { B::template fuses_front<L>; }
inline constexpr bool fuses_front<B, L> = B::template fuses_front<L>;

/// Whether B runs the combine of so many tokens along with the step down, down_and_combine.
template <class B, class L>
constexpr bool combines_in_down(std::int64_t tokens) {
  if constexpr (has_own_rows<B, L> && requires { B::template combines<L>(tokens); })
    return B::template combines<L>(tokens);
  else
    return false;
}

/// What the down GEMM writes: fp32, unless B has a type B::partial<L>.
template <class L, class B>
struct partial {
  using type = float;
};
template <class L, class B>
requires requires { typename B::template partial<L>; }
struct partial<L, B> {
  using type = typename B::template partial<L>;
};
template <class L, class B>
using partial_t = typename partial<L, B>::type;

template <activation_format F>
quantized_rows<scale_t<F>> take_quantized(arena& a, std::int64_t rows, std::int64_t cols) {
  std::uint8_t* const codes = a.take<std::uint8_t>(rows * cols);
  return {codes, a.take<scale_t<F>>(ceil_div(cols, scale_block) * align_up(rows, 4)), rows, cols};
}

/// gate, up and hidden rows of one expert width. Hidden rows in fp32 lie where the up rows do, and are quantised from there where a backend
/// has no rows of its own. The step up in one piece needs no gate rows, nor does an activation without gate.
template <class L, class B>
struct hidden_buffers {
  matrix_view<float> gate, up;
  expert_rows_t<L, B> hidden;
  void* counters = nullptr;  // of the step up, where it quantises

  static hidden_buffers take(arena& a, std::int64_t rows, std::int64_t inter) {
    hidden_buffers b;
    if constexpr (has_own_rows<B, L>) {
      b.hidden = expert_rows_t<L, B>::take(a, rows, inter);
    } else {
      if constexpr (is_gated(L::config.act) && !fuses_up<B, L>) b.gate = {a.take<float>(rows * inter), rows, inter};
      b.up = {a.take<float>(rows * inter), rows, inter};
      if constexpr (is_quantized(L::policy.activations))
        b.hidden = take_quantized<L::policy.activations>(a, rows, inter);
      else
        b.hidden = b.up;
    }
    return b;
  }
};

/// What the routed experts' activation does beside its formula.
template <class L>
using terms_of = std::conditional_t<L::config.expert_bias || L::config.weight_at == weight_site::input, expert_terms, no_terms>;

/// The plan. Made from no memory at all it still knows how many bytes it would use.
template <class L, class B>
struct forward_plan {
  static constexpr moe_config c = L::config;
  static constexpr activation_format format = L::policy.activations;
  using buffers = hidden_buffers<L, B>;
  using input = gemm_input<expert_rows_t<L, B>>;

  float* logits;
  topk_choice choice;
  dispatch_map map;
  memory front_scratch;        // if B has the front in one piece
  float* wide_x;               // x in fp32, unless it is given so
  f32_rows wide;               // x in fp32, where somebody reads it; set by front
  matrix_view<float> rounded;  // x as the GEMMs read it, where that is not wide_x
  input routed_x, shared_x;    // what the first GEMMs read; where it is not in memory of its own, set by front
  buffers routed, shared;
  memory up_counters;  // of both
  matrix_view<partial_t<L, B>> partials, shared_out;
  float* shared_gate;  // [T] logits, if the shared expert is gated

  static forward_plan take(arena& a, std::int64_t tokens) {
    std::int64_t const slots = tokens * c.top_k;
    forward_plan p{};
    p.logits = a.take<float>(tokens * c.choices());
    p.choice.ids = a.take<std::int32_t>(slots);
    p.choice.weights = a.take<float>(slots);
    p.choice.tokens = tokens;
    p.choice.top_k = c.top_k;
    p.map.expert_offsets = a.take<std::int32_t>(c.experts + 1);
    p.map.row_to_slot = a.take<std::int32_t>(slots);
    p.map.slot_to_row = a.take<std::int32_t>(slots);
    p.map.tokens = tokens;
    p.map.top_k = c.top_k;
    p.map.experts = c.experts;
    if constexpr (fuses_front<B, L>) {
      std::size_t const bytes = B::template front_bytes<L>(tokens);
      p.front_scratch = {a.take<std::byte>(static_cast<std::int64_t>(bytes)), bytes};
    }
    p.wide_x = a.take<float>(tokens * c.hidden);
    constexpr bool folds = folds_shared<B, L>;
    std::int64_t const shared_rows = folds ? tokens : 0;  // ahead of the routed ones
    if constexpr (has_own_rows<B, L>) {
      p.routed_x.rows = expert_rows_t<L, B>::take(a, gathers_own_rows<B, L> ? tokens : shared_rows + slots, c.hidden);
      if constexpr (gathers_own_rows<B, L>)
        p.shared_x.rows = p.routed_x.rows;
      else if constexpr (c.shared_inter > 0 && !folds)
        p.shared_x.rows = expert_rows_t<L, B>::take(a, tokens, c.hidden);
    } else if constexpr (is_quantized(format)) {
      p.shared_x.rows = take_quantized<format>(a, tokens, c.hidden);
    } else if constexpr (format != activation_format::f32) {
      p.rounded = {a.take<float>(tokens * c.hidden), tokens, c.hidden};
    }
    p.routed = buffers::take(a, shared_rows + slots, c.inter);
    std::size_t counters_of_routed = 0;
    if constexpr (quantizes_up<B, L>) {
      counters_of_routed = B::up_counter_bytes(shared_rows + slots, c.experts + (folds ? 1 : 0), c.inter);
      std::size_t const bytes = counters_of_routed + (c.shared_inter > 0 && !folds ? B::up_counter_bytes(tokens, 1, c.shared_inter) : 0);
      p.up_counters = {a.take<std::byte>(static_cast<std::int64_t>(bytes)), bytes};
      p.routed.counters = p.up_counters.data;
    }
    auto* const rows = a.take<partial_t<L, B>>((shared_rows + slots) * c.hidden);
    p.partials = {rows != nullptr ? rows + shared_rows * c.hidden : rows, slots, c.hidden};
    if constexpr (c.shared_inter > 0) {
      if constexpr (folds) {
        p.shared_out = {rows, tokens, c.hidden};
      } else {
        p.shared = buffers::take(a, tokens, c.shared_inter);
        if (p.up_counters.data != nullptr) p.shared.counters = static_cast<std::byte*>(p.up_counters.data) + counters_of_routed;
        p.shared_out = {a.take<partial_t<L, B>>(tokens * c.hidden), tokens, c.hidden};
      }
      if constexpr (c.shared_gated) p.shared_gate = a.take<float>(tokens);
    }
    return p;
  }
};

}  // namespace detail

/// Bytes of workspace that forward<L> needs for up to max_tokens tokens. Pure. The workspace must be 64-byte aligned and may be shared by
/// all layers that run one after another; what it holds between calls does not matter.
template <class L, backend B>
std::size_t workspace_bytes(B const&, std::int64_t max_tokens) {
  arena a;
  detail::forward_plan<L, B>::take(a, max_tokens);
  return a.used();
}

}  // namespace moesaic::inline MOESAIC_ABI
