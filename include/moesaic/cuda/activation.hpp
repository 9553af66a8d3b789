// The activation between the expert GEMMs, and x on its way to the router: a few columns a thread, all loads of 16 bytes.
#pragma once

#include <cstdint>
#include <type_traits>

#include <moesaic/cuda/launch.hpp>
#include <moesaic/cuda/quantize.hpp>
#include <moesaic/cuda/vector.hpp>
#include <moesaic/semantics/activation.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

namespace detail {

/// Hidden values straight out of the accumulator rows, four columns at a time; A without gate loads no gate.
template <activation_fn A, class Terms>
struct activated_values {
  using element_type = float;
  static constexpr int count = 4, lanes = 8;
  struct loaded {
    float gate[count], up[count];
  };
  struct row_part {
    float const *gate, *up;
    typename activation_rule<A, Terms>::row_rule rule;
  };

  matrix_view<float const> gate, up;
  activation_rule<A, Terms> rule;

  __device__ row_part row(std::int64_t r) const { return {is_gated(A) ? gate.row(r) : nullptr, up.row(r), rule.of_row(r, up.cols)}; }
  __device__ loaded load(row_part const& p, int column) const {
    loaded l;
    if constexpr (is_gated(A)) unpack(detail::load<count>(p.gate + column), l.gate);
    unpack(detail::load<count>(p.up + column), l.up);
    return l;
  }
  /// Answers the largest abs_bits of them.
  __device__ std::uint32_t values(row_part const& p, loaded const& l, int column, float (&v)[count]) const {
    std::uint32_t most = 0;
#pragma unroll
    for (int i = 0; i < count; ++i) {
      v[i] = p.rule(l.gate, l.up, i, column + i);
      most = magnitude<float>::merge(most, abs_bits(v[i]));
    }
    return most;
  }

 private:
  __device__ static void unpack(pack<float, count> const& p, float (&to)[count]) {
#pragma unroll
    for (int i = 0; i < count; ++i) to[i] = element(p, i);
  }
};

template <activation_format F>
__device__ inline pack<float, 4> rounded(float const (&v)[4]) {
  float r[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) r[i] = round_to<F>(v[i]);
  return narrow<float>(r);
}

/// Rows [0, n), those below *row_count, 4 columns an access, `each` accesses a thread: block (row, y) of row_blocks::of(cols / 4, each).
template <activation_format F, class Values>
__global__ void __launch_bounds__(256)
    activate_kernel(Values const from, matrix_view<float> const out, int cols, std::int32_t const* row_count) {
  constexpr int each = 2;
  ptx::follow_dependency();
  std::int64_t const row = blockIdx.x;
  if (row_count != nullptr && row >= *row_count) return;
  typename Values::row_part const part = from.row(row);
  float* const to = out.row(row);
  typename Values::loaded loaded[each];
  int column[each];
#pragma unroll
  for (int i = 0; i < each; ++i) {
    column[i] = static_cast<int>((blockIdx.y * each + static_cast<unsigned>(i)) * blockDim.x + threadIdx.x) * 4;
    if (column[i] < cols) loaded[i] = from.load(part, column[i]);
  }
#pragma unroll
  for (int i = 0; i < each; ++i) {
    if (column[i] >= cols) continue;
    float v[4];
    static_cast<void>(from.values(part, loaded[i], column[i], v));
    store(to + column[i], rounded<F>(v));
  }
}

template <class T, activation_format F>
__global__ void __launch_bounds__(256) widen_kernel(matrix_view<T const> const x, matrix_view<float> const out) {
  constexpr int each = 4;
  ptx::follow_dependency();
  T const* const from = x.row(blockIdx.x);
  float* const to = out.row(blockIdx.x);
  pack<T, 4> loaded[each];
  int column[each];
#pragma unroll
  for (int i = 0; i < each; ++i) {
    column[i] = static_cast<int>((blockIdx.y * each + static_cast<unsigned>(i)) * blockDim.x + threadIdx.x) * 4;
    if (column[i] < x.cols) loaded[i] = load<4>(from + column[i]);
  }
#pragma unroll
  for (int i = 0; i < each; ++i) {
    if (column[i] >= x.cols) continue;
    float v[4];
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      v[c] = element(loaded[i], c);
      if (!std::is_same_v<T, float> && is_nan(v[c])) v[c] = from_bits(nan_bits);  // to_float's NaN; a float stays as it is
    }
    store(to + column[i], rounded<F>(v));
  }
}

}  // namespace detail

#pragma GCC visibility push(hidden)  // see cuda/launch.hpp

template <class T, activation_format F>
struct launcher<widen_row<T, F>> {
  static status launch(cudaStream_t stream, std::int64_t n, widen_row<T, F> const& f) {
    if (n <= 0) return {};
    if (f.x.cols % 4 != 0 || !rows_are_16_byte_aligned(f.x) || !rows_are_16_byte_aligned(f.out)) return start_any(stream, n, f);
    return start_rows(stream, n, row_blocks::of(f.x.cols / 4, 4), detail::widen_kernel<T, F>, f.x, f.out);
  }
};

template <activation_format F, activation_fn A, class Terms>
struct launcher<activate_row<F, A, Terms>> {
  static status launch(cudaStream_t stream, std::int64_t n, activate_row<F, A, Terms> const& f) {
    if (n <= 0) return {};
    if (f.up.cols % 4 != 0 || (is_gated(A) && !rows_are_16_byte_aligned(f.gate)) || !rows_are_16_byte_aligned(f.up) ||
        !rows_are_16_byte_aligned(f.out))
      return start_any(stream, n, f);
    detail::activated_values<A, Terms> const values{f.gate, f.up, f.rule};
    return start_rows(stream, n, row_blocks::of(f.up.cols / 4, 2), detail::activate_kernel<F, detail::activated_values<A, Terms>>, values,
                      f.out, static_cast<int>(f.up.cols), f.row_count);
  }
};

template <class Scale, activation_fn A, class Terms>
struct launcher<activate_quantize_rows<Scale, A, Terms>> {
  static status launch(cudaStream_t stream, std::int64_t n, activate_quantize_rows<Scale, A, Terms> const& f) {
    if (n <= 0) return {};
    if ((is_gated(A) && !rows_are_16_byte_aligned(f.gate)) || !rows_are_16_byte_aligned(f.up) ||
        !detail::takes_whole_words(f.out, f.up.cols))
      return start_any(stream, n, f);
    return detail::start_quantize(stream, n, detail::activated_values<A, Terms>{f.gate, f.up, f.rule}, f.out, f.up.cols, f.row_count);
  }
};

#pragma GCC visibility pop

}  // namespace moesaic::inline MOESAIC_ABI::cuda
