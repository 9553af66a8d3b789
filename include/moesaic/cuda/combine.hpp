// A token's sum over its experts' rows: a thread has the same few columns of all of them, and loads eight rows at a time before it adds the
// first.
#pragma once

#include <cstdint>

#include <moesaic/cuda/launch.hpp>
#include <moesaic/cuda/vector.hpp>
#include <moesaic/semantics/combine.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

namespace detail {

/// Block (t, y) of row_blocks::of(columns / count, 1) makes columns of y's row t, `count` a thread; columns are a multiple of it. Plain: no
/// bias of the down projection and no zero experts.
template <class Y, class P, bool Plain>
__global__ void __launch_bounds__(256) combine_kernel(combine_row<Y, P> const f) {
  constexpr int count = elements_of_16_bytes<P>;
  constexpr int at_once = 8;  // rows in flight
  ptx::follow_dependency();
  std::int64_t const t = blockIdx.x;
  std::int64_t const column = std::int64_t{blockIdx.y * blockDim.x + threadIdx.x} * count;
  if (column >= f.y.cols) return;
  auto const& extras = f.extras;
  int const top_k = f.map.top_k;

  float acc[count] = {};
  for (int first = 0; first < top_k; first += at_once) {
    std::int32_t row[at_once];
    float w[at_once];
    pack<P, count> part[at_once];
#pragma unroll
    for (int i = 0; i < at_once; ++i) {
      bool const is_slot = first + i < top_k;
      std::int64_t const slot = t * top_k + first + i;
      row[i] = is_slot ? f.map.slot_to_row[slot] : -1;
      w[i] = is_slot && !extras.weights_are_applied ? f.weights[slot] : 1.0F;
    }
#pragma unroll
    for (int i = 0; i < at_once; ++i)
      if (row[i] >= 0) part[i] = load<count>(f.partials.row(row[i]) + column);
#pragma unroll
    for (int i = 0; i < at_once; ++i) {
      if (row[i] >= 0) {
        float bias[count];
        bool const biased = !Plain && extras.down_bias != nullptr;
        if (biased) {
          float const* const from = extras.down_bias + f.ids[t * top_k + first + i] * f.y.cols + column;
#pragma unroll
          for (int c = 0; c < count; ++c) bias[c] = from[c];
        }
#pragma unroll
        for (int c = 0; c < count; ++c) acc[c] = fma(w[i], biased ? element(part[i], c) + bias[c] : element(part[i], c), acc[c]);
      } else if (!Plain && first + i < top_k) {
        std::int32_t const id = f.ids[t * top_k + first + i];
        bool const valid = extras.valid_tokens == nullptr || t < *extras.valid_tokens;
        if (id >= f.map.experts && id < f.map.experts + extras.zero_experts && valid) {
          pack<float, count> const x = load<count>(extras.identity.row(t) + column);
#pragma unroll
          for (int c = 0; c < count; ++c) acc[c] = fma(w[i], element(x, c), acc[c]);
        }
      }
    }
  }

  if (extras.routed_scale != 1.0F) {
#pragma unroll
    for (int c = 0; c < count; ++c) acc[c] = product(acc[c], extras.routed_scale);
  }
  if (extras.shared.data != nullptr) {
    pack<P, count> const shared = load<count>(extras.shared.row(t) + column);
    float const scale = extras.shared_gate != nullptr ? sigmoid(extras.shared_gate[t]) : extras.shared_scale;
#pragma unroll
    for (int c = 0; c < count; ++c) acc[c] = fma(scale, element(shared, c), acc[c]);
  }
  if (extras.residual.data != nullptr) {
    pack<Y, count> const residual = load<count>(extras.residual.row(t) + column);
#pragma unroll
    for (int c = 0; c < count; ++c) acc[c] = ::__fadd_rn(acc[c], element(residual, c));  // no contraction with the product above
  }
  store(f.y.row(t) + column, narrow<Y>(acc));
}

}  // namespace detail

#pragma GCC visibility push(hidden)  // see cuda/launch.hpp

template <class Y, class P>
struct launcher<combine_row<Y, P>> {
  static status launch(cudaStream_t stream, std::int64_t n, combine_row<Y, P> const& f) {
    if (n <= 0) return {};
    constexpr int count = detail::elements_of_16_bytes<P>;
    if (f.y.cols % count != 0 || !rows_are_16_byte_aligned(f.partials) || !rows_are_16_byte_aligned(f.y) ||
        !rows_are_16_byte_aligned(f.extras.shared) || !rows_are_16_byte_aligned(f.extras.residual) ||
        !rows_are_16_byte_aligned(f.extras.identity))
      return start_any(stream, n, f);
    row_blocks const shape = row_blocks::of(f.y.cols / count, 1);
    if (f.extras.down_bias == nullptr && f.extras.zero_experts == 0)
      return start_rows(stream, n, shape, detail::combine_kernel<Y, P, true>, f);
    return start_rows(stream, n, shape, detail::combine_kernel<Y, P, false>, f);
  }
};

#pragma GCC visibility pop

}  // namespace moesaic::inline MOESAIC_ABI::cuda
