// What becomes of x in the front: a block quantises its own tokens to wherever they go.
#pragma once

#include <cstdint>

#include <moesaic/core/views.hpp>
#include <moesaic/cuda/quantize.hpp>
#include <moesaic/semantics/handoff.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::detail {

/// It is read as it is …
struct x_stays {
  static constexpr bool by_token = false, by_slot = false;
};
/// … it is quantised, a row for each token, and what counts tiles of the step up is zeroed …
template <class X, class Scale>
struct x_by_token {
  static constexpr bool by_token = true, by_slot = false;
  stored_values<X> x;
  quantized_rows<Scale> out;
  memory counters;
};
/// … or a row for each slot, behind `ahead` rows: 0, or those of the tokens themselves. `scales_follow`: once the block's codes are
/// written, a thread has a row and takes its scales from its token's. Rows of one expert are neighbours, their tokens are not.
template <class X, class Scale>
struct x_by_slot {
  static constexpr bool by_token = false, by_slot = true;
  stored_values<X> x;
  quantized_rows<Scale> out;
  std::int64_t ahead;
  bool scales_follow;
};

/// The rows of a token's slots, which are in shared memory.
struct rows_in_block {
  std::int32_t const* row_of_slot;
  std::int64_t ahead;
  int first_token, top_k;
  bool scales_follow;

  template <class F>
  __device__ void for_each(int token, F const& f) const {
    if (ahead > 0) f(std::int64_t{token});
    std::int32_t const* const row = row_of_slot + (token - first_token) * top_k;
    for (int k = 0; k < top_k; ++k)
      if (row[k] >= 0) f(ahead + row[k]);
  }
};

/// The block's tokens [first, last), all scale blocks of them.
template <int Cols, class Source, class Scale, class Targets>
__device__ inline void quantize_tokens(Source const& source, Targets const& targets, quantized_rows<Scale> const& out, int first,
                                       int last) {
  constexpr int quantizers = 32 / Source::lanes, blocks = static_cast<int>(ceil_div(Cols, scale_block));
  int const lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32, warps = static_cast<int>(blockDim.x) / 32;
  int const items = (last - first) * blocks;
#pragma unroll 1
  for (int i = warp * quantizers; i < items; i += warps * quantizers) {
    int const item = i + lane / Source::lanes;
    quantize_share(source, targets, out, Cols, first + item / blocks, item % blocks, lane % Source::lanes, item < items);
  }
}

}  // namespace moesaic::inline MOESAIC_ABI::cuda::detail
