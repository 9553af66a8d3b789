// cuda::on{stream, tune::sm90a{}}: the context on Hopper. Row-wise stages are the portable backend's, and so are all GEMMs but those of
// E4M3 rows and E4M3 weights, and the router's of bf16.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <moesaic/config/layer.hpp>
#include <moesaic/cuda/gemm/portable.hpp>
#include <moesaic/cuda/gemm/sm90/grouped_gemm.hpp>
#include <moesaic/cuda/gemm/sm90/router_gemm.hpp>
#include <moesaic/cuda/launch.hpp>
#include <moesaic/cuda/portable_stages.hpp>
#include <moesaic/cuda/quantize.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

/// Prepared weights: the caller's views, and for E4M3 the tensor maps of them.
template <weight_format F>
struct mapped_matrices : weight_matrices<F> {};
template <>
struct mapped_matrices<weight_format::e4m3_128x128> : weight_matrices<weight_format::e4m3_128x128> {
  sm90::weight_operand operand{};
};

/// Quantised rows, sorted by expert: what the first expert GEMM reads, and what it writes. Scale: float, or e8m0_as_f32 where the policy
/// has UE8M0, since wgmma's sums are promoted by fp32.
template <class Scale>
struct sorted_rows : quantized_rows<Scale> {
  using element = std::uint8_t;

  template <class Arena>
  static sorted_rows take(Arena& a, std::int64_t rows, std::int64_t cols) {
    auto* const codes = a.template take<std::uint8_t>(rows * cols);
    return {{codes, a.template take<Scale>(ceil_div(cols, scale_block) * align_up(rows, 4)), rows, cols}};
  }
};

namespace detail {

/// Layers whose expert GEMMs run on wgmma, with the activation and its quantisation in the first one's epilogue.
template <class L>
concept runs_on_wgmma = L::policy.weights == weight_format::e4m3_128x128&& is_quantized(L::policy.activations) && is_gated(L::config.act) &&
                        sm90::takes_shape(L::config.inter, L::config.hidden) &&
                        (L::config.shared_inter == 0 || sm90::takes_shape(L::config.shared_inter, L::config.hidden));

}  // namespace detail

/// See on<>. prepare() makes tensor maps: it waits for small copies, and with one pointer per expert it reads the table. E4M3 codes must be
/// 16-byte aligned.
template <class Arch>
struct hopper : portable_stages {
  template <class L>
  requires detail::runs_on_wgmma<L>
  using rows = sorted_rows<std::conditional_t<L::policy.activations == activation_format::e4m3_1x128, float, e8m0_as_f32>>;
  template <class L>
  requires detail::runs_on_wgmma<L>
  using partial = bf16;
  /// The step up gathers tokens' rows by the map: gather and front then make a row for each token alone.
  template <class L>
  static constexpr bool gathers_own = Arch::gathers && detail::runs_on_wgmma<L>;
  template <weight_format F>
  using prepared_matrices = mapped_matrices<F>;

  template <weight_format F>
  std::size_t prepared_bytes(weight_matrices<F> const& w) const {
    return F == weight_format::e4m3_128x128 ? sm90::weight_operand_bytes(w.experts) : 0;
  }

  template <weight_format F>
  status prepare(weight_matrices<F> const& from, [[maybe_unused]] memory to_memory, mapped_matrices<F>& to) const {
    static_cast<weight_matrices<F>&>(to) = from;
    if constexpr (F == weight_format::e4m3_128x128)
      if (from.experts > 0 && sm90::takes_shape(from.n, from.k)) return sm90::make_weight_operand(from, to_memory.data, to.operand);
    return {};
  }

  /// to = x, quantised, a row for each of a token's slots, or with an empty map a row for each token. With shared_rows = x.rows the shared
  /// expert's rows come first, a row for each token.
  template <activation_format, class X, class Scale>
  status gather(matrix_view<X const> x, dispatch_map const& map, sorted_rows<Scale> const& to, std::int64_t shared_rows = 0) const {
    if (map.slot_to_row != nullptr) return start_quantize_permute<X, Scale>(stream, x, map, to, shared_rows);
    return launch(x.rows * ceil_div(x.cols, scale_block), quantize_rows<X, Scale>{x, to});
  }

  /// The step up in one launch: gate and up columns of a row meet in one tile, whose epilogue activates and quantises. With shared_rows the
  /// shared expert's rows come first and are multiplied along.
  template <activation_format, class Scale, class Prepared, activation_fn A, class Terms>
  status up(gemm_input<sorted_rows<Scale>> const& x, Prepared const& gate, Prepared const& up, std::int32_t const* expert_offsets,
            activation_rule<A, Terms> const& rule, sorted_rows<Scale> const& out, Prepared const* shared_gate = nullptr,
            Prepared const* shared_up = nullptr, std::int64_t shared_rows = 0) const {
    auto const multiply = [&](auto const& operand) {
      return sm90::multiply(
          stream, operand, out.rows, {{&gate.operand, &up.operand}, {operand_of(shared_gate), operand_of(shared_up)}, shared_rows},
          {expert_offsets, gate.experts, gate.n, gate.k, false},  // the front has just written the offsets
          sm90::activate_quantize<Scale, A, Terms, Arch::fast_activation>{out, rule});
    };
    if constexpr (Arch::gathers)
      if (x.row_to_slot != nullptr)
        return multiply(sm90::gathered_rows{x.rows.codes, reinterpret_cast<float const*>(x.rows.scales), x.rows.cols, x.rows.scale_stride,
                                            x.row_to_slot, x.top_k, static_cast<std::int32_t>(shared_rows)});
    return multiply(x.rows);
  }

  using portable_stages::up;  // of other rows

  /// The step down, one rounding to bf16; the shared expert as in the step up.
  template <class Scale, class Prepared>
  status grouped_gemm(gemm_input<sorted_rows<Scale>> const& a, Prepared const& w, std::int32_t const* expert_offsets, matrix_view<bf16> out,
                      Prepared const* shared = nullptr, std::int64_t shared_rows = 0) const {
    return sm90::multiply(stream, a.rows, a.rows.rows, {{&w.operand}, {operand_of(shared)}, shared_rows}, {expert_offsets, w.experts, w.n, w.k, true},
                          sm90::store_bf16{out.data, out.stride});
  }

  /// Of other rows: E4M3 by wgmma where it takes the shape, bf16 for a router by wgmma where takes_router() says so, all others portable.
  template <class Rows, weight_format F>
  status grouped_gemm(gemm_input<Rows> const& a, mapped_matrices<F> const& w, std::int32_t const* expert_offsets, matrix_view<float> out,
                      mapped_matrices<F> const* shared = nullptr, std::int64_t shared_rows = 0) const {
    if constexpr (std::is_same_v<Rows, quantized_rows<float>> && F == weight_format::e4m3_128x128)
      if (a.row_to_slot == nullptr && sm90::takes_shape(w.n, w.k) && out.stride % 2 == 0)
        return sm90::multiply(stream, a.rows, a.rows.rows, {{&w.operand}, {operand_of(shared)}, shared_rows},
                              {expert_offsets, w.experts, w.n, w.k, false}, sm90::store_f32{out.data, out.stride});
    if constexpr (std::is_same_v<Rows, matrix_view<bf16 const>> && F == weight_format::bf16)
      if (expert_offsets == nullptr && a.row_to_slot == nullptr && sm90::takes_router(a.rows, w))
        return sm90::multiply_router(stream, multiprocessors, a.rows, w, out);
    return launch_portable_gemm(stream, multiprocessors,
                                gemm_arguments<Rows, F>{a, w, expert_offsets, out, given_or_none<F>(shared), shared_rows});
  }

 private:
  template <class Prepared>
  static sm90::weight_operand const* operand_of(Prepared const* w) {
    return w != nullptr ? &w->operand : nullptr;
  }
};

}  // namespace moesaic::inline MOESAIC_ABI::cuda
