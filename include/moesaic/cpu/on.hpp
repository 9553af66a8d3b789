// The CPU backend on the caller's own threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <moesaic/core/status.hpp>
#include <moesaic/cpu/down.hpp>
#include <moesaic/cpu/gemm.hpp>
#include <moesaic/cpu/pack.hpp>
#include <moesaic/cpu/pool.hpp>
#include <moesaic/cpu/rows.hpp>
#include <moesaic/cpu/up.hpp>
#include <moesaic/semantics/group.hpp>
#include <moesaic/tune/cpu_gemm.hpp>

namespace moesaic::inline MOESAIC_ABI::cpu {

namespace detail {

/// What a context reads weights from.
template <bool Packs>
struct layout {
  template <weight_format F>
  using matrices = packed_matrices<F>;
};
template <>
struct layout<false> {
  template <weight_format F>
  using matrices = weight_matrices<F>;
};

}  // namespace detail

/// The context of the CPU backend: `cpu::on{threads}` for any pool. A named pool is held by reference, a temporary one by value (for pools
/// that are mere handles). Row-wise stages run one row per call with the serial group, so their bits are the reference's. Tuning: which
/// engine multiplies what, with which tiles, and whether prepare() packs weights or keeps views of them; a type like tune::native, say one
/// that inherits from it: `cpu::on{threads, mine{}}`.
template <class P, class Tuning = tune::native>
requires pool<std::remove_reference_t<P>>
struct on {
  P threads;

  explicit on(P&& p, Tuning = {}) : threads(static_cast<P&&>(p)) {}

  /// What the expert GEMMs of a layer read (pipeline/workspace.hpp).
  template <class L>
  using rows = blocked_rows<Tuning::engine(L::policy.activations, L::policy.weights),
                            is_quantized(L::policy.activations) ||
                                Tuning::engine(L::policy.activations, L::policy.weights) == tune::cpu_engine::fp16_chunked>;

  /// A shared expert like the routed ones is one more of them.
  template <class L>
  static constexpr bool folds_shared = shared_is_like_routed<L>;

  template <weight_format F>
  using prepared_matrices = typename detail::layout<Tuning::packs>::template matrices<F>;

  /// f(group, i, scratch) for each i in [0, n), in at most 64 pieces for the pool.
  template <class F>
  status launch(std::int64_t n, F const& f) const {
    std::int64_t const pieces = n < 64 ? n : 64;
    threads.parallel_for(pieces, [&](std::int64_t p) {
      typename F::scratch scratch;
      for (std::int64_t i = n * p / pieces; i < n * (p + 1) / pieces; ++i) f(serial_group{}, i, scratch);
    });
    return {};
  }

  template <weight_format F>
  std::size_t prepared_bytes(weight_matrices<F> const& w) const {
    if constexpr (!Tuning::packs) return 0;
    packed_matrices<F> const shape{w.experts, w.n, w.k};
    return shape.code_bytes() + shape.scale_bytes();
  }

  /// Packs into `to_memory`; `from` may be freed afterwards. Where Tuning::packs is false it takes no memory, and `from` must stay.
  template <weight_format F>
  status prepare(weight_matrices<F> const& from, [[maybe_unused]] memory to_memory, prepared_matrices<F>& to) const {
    if constexpr (Tuning::packs) {
      to = {from.experts, from.n, from.k};
      auto* const bytes = static_cast<std::byte*>(to_memory.data);
      to.codes = reinterpret_cast<weight_code_t<F>*>(bytes);
      to.scales = reinterpret_cast<float*>(bytes + to.code_bytes());
      pack(threads, from, to);
    } else {
      to = from;
    }
    return {};
  }

  /// The first `shared_rows` rows of `to` = x; the others, through map.row_to_slot (−1: the row is left alone), the rows of tokens
  /// row_to_slot / top_k. With an empty map all rows of `to` are x's. Rounded to F. x [T, to.cols] of f32, bf16 or fp16. Exact: the same
  /// bits for any number of threads. Unchecked: forward's arguments are.
  template <activation_format F, class X, class Rows>
  status gather(matrix_view<X const> x, dispatch_map const& map, Rows const& to, std::int64_t shared_rows = 0) const {
    std::int64_t const ahead = map.row_to_slot != nullptr ? shared_rows : to.rows;
    return launch(to.rows * ceil_div(to.cols, scale_block), gather_rows<F, X, Rows>{x, ahead, map.row_to_slot, map.top_k, to});
  }

  /// Weights: packed_matrices or weight_matrices, whatever prepare() makes. With `shared`, the first shared_rows rows are multiplied by it.
  template <class Rows, class Weights>
  status grouped_gemm(gemm_input<Rows> const& a, Weights const& w, std::int32_t const* expert_offsets, matrix_view<float> out,
                      Weights const* shared = nullptr, std::int64_t shared_rows = 0) const {
    detail::multiply_groups<policy_for<Rows>>(threads, a,
                                              detail::expert_groups<Weights>{{&w}, expert_offsets, out.rows, {shared}, shared_rows}, out);
    return {};
  }

  /// The step up in one pass; see pipeline/forward.hpp.
  template <activation_format F, class Rows, class Weights, activation_fn A, class Terms, class Hidden>
  status up(gemm_input<Rows> const& x, Weights const& gate_weights, Weights const& up_weights, std::int32_t const* expert_offsets,
            activation_rule<A, Terms> const& rule, Hidden const& out, Weights const* shared_gate = nullptr,
            Weights const* shared_up = nullptr, std::int64_t shared_rows = 0) const {
    if constexpr (is_gated(A))
      cpu::up<F, policy_for<Rows>>(
          threads, x,
          detail::expert_groups<Weights, 2>{{&gate_weights, &up_weights}, expert_offsets, out.rows, {shared_gate, shared_up}, shared_rows},
          rule, out);
    else
      cpu::up<F, policy_for<Rows>>(
          threads, x, detail::expert_groups<Weights, 1>{{&up_weights}, expert_offsets, out.rows, {shared_up}, shared_rows}, rule, out);
    return {};
  }

  /// Whether the step down of so many tokens has the combine in it (pipeline/forward.hpp).
  template <class L>
  static constexpr bool combines(std::int64_t tokens) {
    return tokens <= Tuning::combined_tokens;
  }

  /// The step down and the combine in one pass. hidden and partials [shared_rows + slots rows], the shared expert's first (`shared` null:
  /// none), then sorted by expert; y [T, H] as combine_row has it. Deterministic, batch-invariant: the bits of grouped_gemm and
  /// combine_row. Unchecked: forward's arguments are.
  template <class Rows, class Weights, class Y>
  status down_and_combine(gemm_input<Rows> const& hidden, Weights const& w, std::int32_t const* expert_offsets, Weights const* shared,
                          std::int64_t shared_rows, matrix_view<float> partials, combine_row<Y, float> const& combine) const {
    cpu::down_and_combine<policy_for<Rows>>(
        threads, hidden, detail::expert_groups<Weights>{{&w}, expert_offsets, partials.rows, {shared}, shared_rows}, partials, combine);
    return {};
  }

 private:
  /// Rows that are made for an engine say which; all others are multiplied in fp32.
  template <class Rows>
  static constexpr tune::cpu_gemm_policy policy_for = [] {
    if constexpr (detail::is_blocked<Rows>)
      return Tuning::gemm(Rows::engine);
    else
      return Tuning::gemm(tune::cpu_engine::fp32_exact);
  }();
};

template <class P>
on(P&&) -> on<P>;
template <class P, class Tuning>
on(P&&, Tuning) -> on<P, Tuning>;

}  // namespace moesaic::inline MOESAIC_ABI::cpu
