// Rows to E4M3 in blocks of 128 columns: a warp quantises four rows of a block, eight threads a row, 16 values a thread, without shared
// memory.
#pragma once

#include <cstdint>

#include <moesaic/cuda/launch.hpp>
#include <moesaic/cuda/vector.hpp>
#include <moesaic/semantics/quantize.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

namespace detail {

/// x / scale for many x, such that to_e4m3 gives what it gives for detail::quotient(x, scale): all NaN and infinities, both zeros.
///
/// With r = 1/s rounded to nearest, x·r is within 1.5 units of x/s; one correction makes that less than one unit, and from there the second
/// one rounds x/s correctly (Markstein 1990: the remainder is exact). Quotients so small that a remainder underflows are far below what
/// E4M3 holds. The remainder is taken with the sign turned, so that a zero keeps its own. An infinite scale has r = 0, and a remainder that
/// must not be infinite times 0: s = 0 makes every finite x a zero with its sign, and an infinite one NaN.
template <class Scale>
struct quotient_of;
template <>
struct quotient_of<float> {
  float s, r;

  MOESAIC_INLINE explicit quotient_of(float scale)
      : s(to_bits(scale) == inf_bits ? 0.0F : scale), r(moesaic::detail::quotient(1.0F, scale)) {}
  MOESAIC_INLINE float operator()(float x) const {
    float const q = product(x, r);
    float const nearer = fma(fma(q, s, -x), -r, q);
    return fma(fma(nearer, s, -x), -r, nearer);
  }
};
/// A power of two: the product with its reciprocal is the quotient.
template <>
struct quotient_of<std::uint8_t> {
  float r;

  MOESAIC_INLINE explicit quotient_of(std::uint8_t scale) : r(moesaic::detail::quotient(1.0F, e8m0_to_float(scale))) {}
  MOESAIC_INLINE float operator()(float x) const { return product(x, r); }
};

/// Where quantised values come from: `count` columns from one access, as loaded, and as floats.
template <class T>
struct stored_values {
  static constexpr int count = elements_of_16_bytes<T>;
  using loaded = pack<T, count>;
  struct row_part {
    T const* from;
  };

  matrix_view<T const> x;

  __device__ row_part row(std::int64_t r) const { return {x.row(r)}; }
  __device__ loaded load(row_part const& p, int column) const { return detail::load<count>(p.from + column); }
  __device__ void values(row_part const&, loaded const& l, int, float (&v)[count]) const {
#pragma unroll
    for (int i = 0; i < count; ++i) v[i] = element(l, i);
  }
};

/// E4M3 codes of Count values, the first in the lowest byte.
template <int Count, class Scale>
__device__ inline word<Count> encode(float const (&v)[Count], quotient_of<Scale> const& quotient) {
  word<Count> codes;
#pragma unroll
  for (int i = 0; i < Count / 4; ++i)
    codes.part[i] = ptx::e4m3_pair(quotient(v[4 * i]), quotient(v[4 * i + 1])) |
                    std::uint32_t{ptx::e4m3_pair(quotient(v[4 * i + 2]), quotient(v[4 * i + 3]))} << 16;
  return codes;
}

/// Where a row's codes go: to the row of the same number …
struct same_row {
  template <class F>
  __device__ void for_each(std::int64_t row, F const& f) const {
    f(row);
  }
};
/// … or, for a token, to the rows of all its slots.
struct rows_of_token {
  std::int32_t const* slot_to_row;
  int top_k;

  template <class F>
  __device__ void for_each(std::int64_t token, F const& f) const {
    for (int k = 0; k < top_k; ++k)
      if (std::int32_t const row = slot_to_row[token * top_k + k]; row >= 0) f(row);
  }
};

/// Items [0, n) of quantize_rows or activate_quantize_rows, of which rows from *row_count on are left out. Block (i, y) has rows 4 i … 4 i
/// + 3; its warp w the columns of scale block y · warps + w. Columns are a multiple of 8.
template <class Source, class Scale, class Targets>
__global__ void __launch_bounds__(256) quantize_kernel(std::int64_t n, Source const source, Targets const targets,
                                                       quantized_rows<Scale> const out, int cols, std::int32_t const* row_count) {
  constexpr int count = Source::count, loads = 16 / count;
  int const blocks = (cols + scale_block - 1) / scale_block;
  int const lane = static_cast<int>(threadIdx.x) % 32, part = lane % 8;
  int const b = static_cast<int>(blockIdx.y * (blockDim.x / 32) + threadIdx.x / 32);
  if (b >= blocks) return;
  std::int64_t const row = std::int64_t{blockIdx.x} * 4 + lane / 8;
  bool const mine = row * blocks + b < n && (row_count == nullptr || row < *row_count);

  typename Source::row_part const from = source.row(mine ? row : 0);
  typename Source::loaded loaded[loads];
  bool has[loads];
#pragma unroll
  for (int i = 0; i < loads; ++i) {
    int const column = b * scale_block + (part + 8 * i) * count;
    has[i] = mine && column < cols;
    if (has[i]) loaded[i] = source.load(from, column);
  }
  float v[loads][count];
  std::uint32_t largest = 0;
#pragma unroll
  for (int i = 0; i < loads; ++i) {
    if (has[i]) {
      source.values(from, loaded[i], b * scale_block + (part + 8 * i) * count, v[i]);
#pragma unroll
      for (int c = 0; c < count; ++c) largest = largest > abs_bits(v[i][c]) ? largest : abs_bits(v[i][c]);
    }
  }
#pragma unroll
  for (int across = 1; across < 8; across *= 2) {
    std::uint32_t const other = ::__shfl_xor_sync(~0U, largest, across);
    largest = largest > other ? largest : other;
  }

  Scale const scale = scale_for<Scale>(from_bits(largest));
  quotient_of<Scale> const quotient(scale);
  word<count> codes[loads];
#pragma unroll
  for (int i = 0; i < loads; ++i)
    if (has[i]) codes[i] = encode(v[i], quotient);
  if (!mine) return;
  targets.for_each(row, [&](std::int64_t target) {
    std::uint8_t* const to = out.codes + target * out.cols + b * scale_block;
#pragma unroll
    for (int i = 0; i < loads; ++i)
      if (has[i]) *reinterpret_cast<word<count>*>(to + (part + 8 * i) * count) = codes[i];
    if (part == 0) {
      out.scale(b, target) = scale;
      if (target == out.rows - 1)
        for (std::int64_t pad = out.rows; pad < out.scale_stride; ++pad) out.scale(b, pad) = Scale{};
    }
  });
}

/// n items of `cols` columns a row.
template <class Source, class Scale, class Targets = same_row>
MOESAIC_CUDA_HOST status start_quantize(cudaStream_t stream, std::int64_t n, Source const& source, quantized_rows<Scale> const& out,
                                        std::int64_t cols, std::int32_t const* row_count, Targets const& targets = {}) {
  std::int64_t const blocks = ceil_div(cols, scale_block);
  return start_rows(stream, ceil_div(ceil_div(n, blocks), 4), row_blocks::of(blocks * 32, 1), quantize_kernel<Source, Scale, Targets>, n,
                    source, targets, out, static_cast<int>(cols), row_count);
}

/// What start_quantize wants of its target.
template <class Scale>
bool takes_whole_words(quantized_rows<Scale> const& out, std::int64_t cols) {
  return cols > 0 && cols % 8 == 0 && out.cols % 8 == 0 && reinterpret_cast<std::uintptr_t>(out.codes) % 8 == 0;
}

}  // namespace detail

/// Every row of x quantised once and written to all rows that its token has in the map: permute after quantize, without the rows between.
/// x [T, cols] with 16-byte aligned rows, cols a multiple of 8; out: a row for each slot. Rows without a slot are left alone. The bits of
/// quantize_rows.
template <class T, class Scale>
MOESAIC_CUDA_HOST status start_quantize_permute(cudaStream_t stream, matrix_view<T const> x, dispatch_map const& map,
                                                quantized_rows<Scale> const& out) {
  if (x.rows <= 0) return {};
  return detail::start_quantize(stream, x.rows * ceil_div(x.cols, scale_block), detail::stored_values<T>{x}, out, x.cols, nullptr,
                                detail::rows_of_token{map.slot_to_row, map.top_k});
}

template <class T, class Scale>
struct launcher<quantize_rows<T, Scale>> {
  MOESAIC_CUDA_HOST static status launch(cudaStream_t stream, std::int64_t n, quantize_rows<T, Scale> const& f) {
    if (n <= 0) return {};
    if (!rows_are_16_byte_aligned(f.x) || !detail::takes_whole_words(f.out, f.x.cols)) return start_any(stream, n, f);
    return detail::start_quantize(stream, n, detail::stored_values<T>{f.x}, f.out, f.x.cols, nullptr);
  }
};

}  // namespace moesaic::inline MOESAIC_ABI::cuda
