// Rows copied to where a layout has them. With the inverse map a row is read once and written top_k times; without, each target row fetches
// its own.
#pragma once

#include <cstdint>
#include <type_traits>

#include <moesaic/cuda/launch.hpp>
#include <moesaic/cuda/vector.hpp>
#include <moesaic/semantics/permute.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

namespace detail {

/// The rows that move, in pieces of 16 bytes.
struct moved_rows {
  static constexpr int each = 4;  ///< pieces a thread has in flight

  word<16> const* from;
  word<16>* to;
  std::int64_t from_stride, to_stride;
  int pieces;

  /// What of a row is this thread's, as loaded; `blank` instead of it without a row.
  struct held {
    word<16> piece[each];
  };
  __device__ int at(int i) const { return static_cast<int>((blockIdx.y * each + static_cast<unsigned>(i)) * blockDim.x + threadIdx.x); }
  __device__ held load(std::int64_t row) const {
    held h;
#pragma unroll
    for (int i = 0; i < each; ++i)
      if (at(i) < pieces) h.piece[i] = from[row * from_stride + at(i)];
    return h;
  }
  __device__ static held blank() {
    held h;
#pragma unroll
    for (int i = 0; i < each; ++i) h.piece[i] = {};
    return h;
  }
  __device__ void store(std::int64_t row, held const& h) const {
#pragma unroll
    for (int i = 0; i < each; ++i)
      if (at(i) < pieces) to[row * to_stride + at(i)] = h.piece[i];
  }
};

/// Block (row, y) of row_blocks::of(pieces, each) makes target row `row`.
template <class Layout>
__global__ void __launch_bounds__(256) fetch_rows(moved_rows const rows, Layout const layout, int top_k) {
  ptx::follow_dependency();
  std::int64_t const row = blockIdx.x;
  std::int32_t const slot = layout.row_to_slot[row];
  if (slot < 0 && !layout.is_padding(row)) return;
  rows.store(row, slot < 0 ? moved_rows::blank() : rows.load(slot / top_k));
}

/// Block (token, y) makes the target rows below n of that token.
template <class Rows>
__global__ void __launch_bounds__(256) spread_rows(std::int64_t n, Rows const rows, std::int32_t const* slot_to_row, int top_k) {
  ptx::follow_dependency();
  std::int64_t const token = blockIdx.x;
  typename Rows::held const held = rows.load(token);
  for (int k = 0; k < top_k; ++k) {
    std::int32_t const row = slot_to_row[token * top_k + k];
    if (row >= 0 && row < n) rows.store(row, held);
  }
}

/// The scales of the rows [0, n): a thread has one row and the scale blocks y, y + blocks of the grid, …
template <class Scale, class Layout>
__global__ void __launch_bounds__(128)
    permute_scales(std::int64_t n, quantized_rows<Scale> const x, Layout const layout, int top_k, quantized_rows<Scale> const out) {
  ptx::follow_dependency();
  std::int64_t const row = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (row >= n) return;
  std::int32_t const slot = layout.row_to_slot[row];
  if (slot < 0 && !layout.is_padding(row)) return;
  std::int64_t const token = slot < 0 ? 0 : slot / top_k, blocks = ceil_div(x.cols, scale_block);
  for (std::int64_t b = blockIdx.y; b < blocks; b += gridDim.y) layout.scale(out, b, row) = slot < 0 ? Scale{} : x.scale(b, token);
}

#pragma GCC visibility push(hidden)  // see cuda/launch.hpp

/// `from` and `to` are rows of `bytes` bytes, their strides in bytes. `tokens` rows of x exist.
template <class Layout>
status start_permute(cudaStream_t stream, std::int64_t n, void const* from, std::int64_t from_stride, void* to, std::int64_t to_stride,
                     std::int64_t bytes, std::int64_t tokens, Layout const& layout, int top_k) {
  moved_rows const rows{static_cast<word<16> const*>(from), static_cast<word<16>*>(to), from_stride / 16, to_stride / 16,
                        static_cast<int>(bytes / 16)};
  row_blocks const shape = row_blocks::of(rows.pieces, moved_rows::each);
  if constexpr (std::is_same_v<Layout, tight_rows>)
    if (layout.slot_to_row != nullptr && tokens > 0)
      return start_rows(stream, tokens, shape, spread_rows<moved_rows>, n, rows, layout.slot_to_row, top_k);
  return start_rows(stream, n, shape, fetch_rows<Layout>, rows, layout, top_k);
}

#pragma GCC visibility pop

}  // namespace detail

#pragma GCC visibility push(hidden)  // see cuda/launch.hpp

template <class T, class Layout>
struct launcher<permute_row<T, Layout>> {
  static status launch(cudaStream_t stream, std::int64_t n, permute_row<T, Layout> const& f) {
    constexpr std::int64_t size = sizeof(T);
    if (n <= 0) return {};
    if (f.x.cols * size % 16 != 0 || !rows_are_16_byte_aligned(f.x) || !rows_are_16_byte_aligned(f.out)) return start_any(stream, n, f);
    return detail::start_permute(stream, n, f.x.data, f.x.stride * size, f.out.data, f.out.stride * size, f.x.cols * size, f.x.rows,
                                 f.layout, f.top_k);
  }
};

template <class Scale, class Layout>
struct launcher<permute_quantized_row<Scale, Layout>> {
  static status launch(cudaStream_t stream, std::int64_t n, permute_quantized_row<Scale, Layout> const& f) {
    if (n <= 0) return {};
    if (f.x.cols % 16 != 0 || !is_16_byte_aligned(f.x.codes) || !is_16_byte_aligned(f.out.codes)) return start_any(stream, n, f);
    if (status const s =
            detail::start_permute(stream, n, f.x.codes, f.x.cols, f.out.codes, f.x.cols, f.x.cols, f.x.rows, f.layout, f.top_k);
        !s)
      return s;
    std::int64_t const blocks = ceil_div(f.x.cols, scale_block);
    row_blocks const shape{128, static_cast<unsigned>(blocks < 8 ? blocks : 8)};
    return start_rows(stream, ceil_div(n, 128), shape, detail::permute_scales<Scale, Layout>, n, f.x, f.layout, f.top_k, f.out);
  }
};

#pragma GCC visibility pop

}  // namespace moesaic::inline MOESAIC_ABI::cuda
