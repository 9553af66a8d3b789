// What every CUDA context has, whatever else multiplies: a stream of a device, the row-wise stages, the front in one launch, and the step
// up by the portable kernels.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include <moesaic/cuda/clear.hpp>
#include <moesaic/cuda/front.hpp>
#include <moesaic/cuda/gemm/portable.hpp>
#include <moesaic/cuda/gemm/quantizing_up.hpp>
#include <moesaic/cuda/launch.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

/// Members enqueue on the stream and may be captured. Errors: device_refused; out_of_range for more than 4096 experts or 2³¹−1 rows. The
/// same bits in every run.
struct portable_stages {
  cudaStream_t stream;
  int multiprocessors;

  /// The router multiplies x as it is.
  template <class X>
  static constexpr bool reads_rows_of = true;

  template <class F>
  status launch(std::int64_t n, F const& f) const {
    return launcher<F>::launch(stream, n, f);
  }

  template <class L>
  static constexpr bool fuses_front = cuda::fuses_front<L>;
  template <class L>
  static constexpr std::size_t front_bytes(std::int64_t tokens) {
    return front_scratch_bytes<L>(tokens);
  }

  /// select_experts<L> or given_experts<L>, and map, in one launch; with x and quantised rows those as well: a row for each token, and
  /// counters are zeroed, or with the number of shared rows behind them the rows of gather. See launch_front.
  template <class Select, class... X>
  status front(Select const& select, build_dispatch_map const& map, memory scratch, X const&... x) const {
    return launch_front(stream, multiprocessors, select, map, scratch, x...);
  }

  template <class L>
  static constexpr bool fuses_up = fuses_portable_up<L>;
  template <class L>
  static constexpr bool folds_shared = folds_portable_shared<L>;
  template <class L>
  static constexpr bool quantizes_up = fuses_portable_up<L>&& is_quantized(L::policy.activations);

  /// Of up_and_quantize.
  static constexpr std::size_t up_counter_bytes(std::int64_t rows, int groups, std::int64_t columns) {
    return counter_bytes(rows, groups, columns);
  }
  /// Zeroes them, device memory, 4-byte aligned, by a launch of its own.
  status clear(memory counters) const { return start_clear(stream, counters); }

  /// The step up in one launch: x [rows, H], gathered where it says so, gate and up [E][I, H], to out fp32 [rows, I], rounded to Format.
  /// Gate and up columns of a row meet in one tile, whose epilogue activates and rounds. The bits of its stages. With shared_rows the
  /// shared expert's rows come first and are multiplied along.
  template <activation_format Format, class Rows, weight_format F, activation_fn A, class Terms>
  status up(gemm_input<Rows> const& x, weight_matrices<F> const& gate, weight_matrices<F> const& up, std::int32_t const* expert_offsets,
            activation_rule<A, Terms> const& rule, matrix_view<float> out, weight_matrices<F> const* shared_gate = nullptr,
            weight_matrices<F> const* shared_up = nullptr, std::int64_t shared_rows = 0) const {
    return launch_portable_gemm(stream, multiprocessors,
                                up_arguments<Format, Rows, F, A, Terms>{x, gate, up, expert_offsets, out, rule, given_or_none(shared_gate),
                                                                        given_or_none(shared_up), shared_rows});
  }

  /// The same, and hidden rows quantised to E4M3 [rows, I] with scales for 128 columns, the bits of quantize_rows; `out`, 16-byte aligned
  /// rows, has them on their way, in fp32. counters: up_counter_bytes of device memory, zeroed before each call.
  template <class Rows, weight_format F, activation_fn A, class Terms, class Scale>
  status up_and_quantize(gemm_input<Rows> const& x, weight_matrices<F> const& gate, weight_matrices<F> const& up,
                         std::int32_t const* expert_offsets, activation_rule<A, Terms> const& rule, matrix_view<float> out,
                         quantized_rows<Scale> const& hidden, void* counters, weight_matrices<F> const* shared_gate = nullptr,
                         weight_matrices<F> const* shared_up = nullptr, std::int64_t shared_rows = 0) const {
    using arguments = up_arguments<activation_format::f32, Rows, F, A, Terms>;
    return launch_portable_gemm(stream, multiprocessors,
                                quantizing_up<arguments, Scale>{{x, gate, up, expert_offsets, out, rule, given_or_none(shared_gate),
                                                                 given_or_none(shared_up), shared_rows},
                                                                hidden,
                                                                static_cast<std::uint32_t*>(counters)});
  }
};

}  // namespace moesaic::inline MOESAIC_ABI::cuda
