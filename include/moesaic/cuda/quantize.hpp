// Rows to E4M3 in blocks of 128 columns, without shared memory: a few threads of a warp have one row's block, so that the warp's rows have
// their scales side by side.
#pragma once

#include <cstdint>
#include <type_traits>

#include <moesaic/cuda/launch.hpp>
#include <moesaic/cuda/vector.hpp>
#include <moesaic/semantics/quantize.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

namespace detail {

/// x / scale for many x of type X in a block with that scale, such that to_e4m3 gives what it gives for detail::quotient(x, scale): with
/// all NaN and infinities, and both zeros.
///
/// With r = 1/s rounded to nearest, x·r is within 1.5 units of x/s. One correction leaves 2⁻²³ units before it is rounded: enough for bf16
/// and fp16, for every x and every scale that such a block can have (tests/cuda_stages tries them all). For fp32 a second one rounds x/s
/// itself (Markstein 1990: the remainder is exact). Quotients so small that a remainder underflows are far below what E4M3 holds. The
/// remainder is taken with the sign turned, so that a zero keeps its own. An infinite scale has r = 0, and a remainder that must not be
/// infinite times 0: s = 0 makes every finite x a zero with its sign, and an infinite one NaN.
template <class X, class Scale>
struct quotient_of {
  float s, r;

  MOESAIC_INLINE explicit quotient_of(float scale)
      : s(to_bits(scale) == inf_bits ? 0.0F : scale), r(moesaic::detail::quotient(1.0F, scale)) {}
  MOESAIC_INLINE float operator()(float x) const {
    float const q = product(x, r);
    float const nearer = fma(fma(q, s, -x), -r, q);
    return sizeof(X) == 2 ? nearer : fma(fma(nearer, s, -x), -r, nearer);
  }
};
/// A power of two: the product with its reciprocal is the quotient.
template <class X, class Scale>
requires(!std::is_same_v<Scale, float>) struct quotient_of<X, Scale> {
  float r;

  MOESAIC_INLINE explicit quotient_of(Scale scale) : r(moesaic::detail::quotient(1.0F, scale_to_float(scale))) {}
  MOESAIC_INLINE float operator()(float x) const { return product(x, r); }
};

/// The largest magnitude of some X, in 32 bits of its own: merge() takes the larger of two, bits() are abs_bits of it as a float. Those of
/// 16 bits are taken two at a time.
template <class X>
struct magnitude {
  __device__ static std::uint32_t merge(std::uint32_t a, std::uint32_t b) { return a > b ? a : b; }
  __device__ static std::uint32_t bits(std::uint32_t m) { return m; }
};
template <class X>
requires(sizeof(X) == 2) struct magnitude<X> {
  __device__ static std::uint32_t merge(std::uint32_t a, std::uint32_t b) { return ::__vmaxu2(a, b); }
  __device__ static std::uint32_t bits(std::uint32_t m) {
    std::uint32_t const most = m >> 16 > (m & 0xFFFFu) ? m >> 16 : m & 0xFFFFu;
    return std::is_same_v<X, bf16> ? most << 16 : abs_bits(ptx::widen_fp16(static_cast<std::uint16_t>(most)));
  }
};

/// Where quantised values come from: `count` columns from one access of one of `lanes` threads that share a block; as loaded, then as
/// floats and their largest magnitude.
template <class T>
struct stored_values {
  using element_type = T;
  static constexpr int count = elements_of_16_bytes<T>, lanes = sizeof(T) == 2 ? 4 : 8;
  using loaded = pack<T, count>;
  struct row_part {
    T const* from;
  };

  matrix_view<T const> x;

  __device__ row_part row(std::int64_t r) const { return {x.row(r)}; }
  __device__ loaded load(row_part const& p, int column) const { return detail::load<count>(p.from + column); }
  __device__ std::uint32_t values(row_part const&, loaded const& l, int, float (&v)[count]) const {
    std::uint32_t most = 0;
#pragma unroll
    for (int i = 0; i < count; ++i) v[i] = element(l, i);
#pragma unroll
    for (int i = 0; i < 4; ++i) most = magnitude<T>::merge(most, l.of[0].part[i] & (sizeof(T) == 2 ? 0x7FFF'7FFFu : 0x7FFF'FFFFu));
    return most;
  }
};

/// E4M3 codes of Count values, the first in the lowest byte.
template <int Count, class Quotient>
__device__ inline word<Count> encode(float const (&v)[Count], Quotient const& quotient) {
  word<Count> codes;
#pragma unroll
  for (int i = 0; i < Count / 4; ++i)
    codes.part[i] = ptx::e4m3_pair(quotient(v[4 * i]), quotient(v[4 * i + 1])) |
                    std::uint32_t{ptx::e4m3_pair(quotient(v[4 * i + 2]), quotient(v[4 * i + 3]))} << 16;
  return codes;
}

/// What of the items is to do: all blocks of the first `rows` rows and the first `rest` of the row behind them, but no row from *row_count
/// on.
struct quantize_extent {
  int rows, rest, cols;
  std::int32_t const* row_count;
};

/// Where a row's codes and scales go: to the row of the same number …
struct same_row {
  static constexpr bool one = true;
  bool scales_follow = false;
  template <class F>
  __device__ void for_each(int row, F const& f) const {
    f(std::int64_t{row});
  }
};
/// … or, for a token, to the rows of all its slots, and if rows of all tokens come first, to the token's there. `scales_follow`: a second
/// kernel takes the scales from there to the slots.
struct rows_of_token {
  static constexpr bool one = false;
  std::int32_t const* slot_to_row;
  int top_k;
  std::int64_t ahead;
  bool scales_follow;

  template <class F>
  __device__ void for_each(int token, F const& f) const {
    if (ahead > 0) f(std::int64_t{token});
    for (int k = 0; k < top_k; ++k)
      if (std::int32_t const row = slot_to_row[std::int64_t{token} * top_k + k]; row >= 0) f(ahead + row);
  }
};

/// A warp has the same scale block of `high` rows, or neighbouring scale blocks of one row: the latter where rows are written to several
/// places, so that each gets long pieces.
template <class Source, class Targets>
struct quantize_warp {
  static constexpr int quantizers = 32 / Source::lanes, high = Targets::one ? quantizers : 1, wide = quantizers / high;
};

/// Quantises scale block b of a row to where `targets` says. Source::lanes neighbouring threads share it, this one as `part`; all threads
/// of a warp call this together, with `mine` for those that have something to do.
template <class Source, class Scale, class Targets>
__device__ inline void quantize_share(Source const& source, Targets const& targets, quantized_rows<Scale> const& out, int cols, int row,
                                      int b, int part, bool mine) {
  using sized = magnitude<typename Source::element_type>;
  constexpr int count = Source::count, lanes = Source::lanes, loads = scale_block / lanes / count;
  int const first = b * scale_block + part * count;
  typename Source::row_part const from = source.row(mine ? row : 0);
  // What is written under a condition alone, ptxas keeps registers for from the kernel's first instruction on: hence the zeros.
  typename Source::loaded loaded[loads] = {};
  bool has[loads];
#pragma unroll
  for (int i = 0; i < loads; ++i) {
    has[i] = mine && first + i * lanes * count < cols;
    if (has[i]) loaded[i] = source.load(from, first + i * lanes * count);
  }
  float v[loads][count] = {};
  std::uint32_t most = 0;
#pragma unroll
  for (int i = 0; i < loads; ++i)
    if (has[i]) most = sized::merge(most, source.values(from, loaded[i], first + i * lanes * count, v[i]));
#pragma unroll
  for (int across = 1; across < lanes; across *= 2) most = sized::merge(most, ::__shfl_xor_sync(~0U, most, across));

  Scale const scale = scale_for<Scale>(from_bits(sized::bits(most)));
  quotient_of<typename Source::element_type, Scale> const quotient(scale);
  word<count> codes[loads] = {};
#pragma unroll
  for (int i = 0; i < loads; ++i)
    if (has[i]) codes[i] = encode(v[i], quotient);
  if (!mine) return;
  targets.for_each(row, [&](std::int64_t target) {
    std::uint8_t* const to = out.codes + target * out.cols + first;
#pragma unroll
    for (int i = 0; i < loads; ++i)
      if (has[i]) *reinterpret_cast<word<count>*>(to + i * lanes * count) = codes[i];
    if (part == 0 && !(targets.scales_follow && target != row)) {
      out.scale(b, target) = scale;
      if (target == out.rows - 1)
#pragma unroll 1
        for (std::int64_t pad = out.rows; pad < out.scale_stride; ++pad) out.scale(b, pad) = Scale{};
    }
  });
}

/// Block (i, y) has rows from i · high on, and a share of their scale blocks. Columns are a multiple of 8.
template <class Source, class Scale, class Targets>
__global__ void __launch_bounds__(256)
    quantize_kernel(Source const source, Targets const targets, quantized_rows<Scale> const out, quantize_extent const extent) {
  using warp = quantize_warp<Source, Targets>;
  constexpr int lanes = Source::lanes;
  ptx::follow_dependency();
  int const lane = static_cast<int>(threadIdx.x % 32), quantizer = lane / lanes;
  int const b = static_cast<int>(blockIdx.y * (blockDim.x / 32) + threadIdx.x / 32) * warp::wide + quantizer % warp::wide;
  int const row = static_cast<int>(blockIdx.x) * warp::high + quantizer / warp::wide;
  bool mine = b * scale_block < extent.cols && (row < extent.rows || (row == extent.rows && b < extent.rest));
  if (extent.row_count != nullptr) mine = mine && row < *extent.row_count;
  quantize_share(source, targets, out, extent.cols, row, b, lane % lanes, mine);
}

#pragma GCC visibility push(hidden)  // see cuda/launch.hpp

/// Items [0, n) of rows of `cols` columns, n > 0.
template <class Source, class Scale, class Targets = same_row>
status start_quantize(cudaStream_t stream, std::int64_t n, Source const& source, quantized_rows<Scale> const& out, std::int64_t cols,
                      std::int32_t const* row_count, Targets const& targets = {}) {
  std::int64_t const blocks = ceil_div(cols, scale_block);
  quantize_extent const extent{static_cast<int>(n / blocks), static_cast<int>(n % blocks), static_cast<int>(cols), row_count};
  using warp = quantize_warp<Source, Targets>;
  return start_rows(stream, ceil_div(ceil_div(n, blocks), warp::high), row_blocks::of(ceil_div(blocks, warp::wide) * 32, 1),
                    quantize_kernel<Source, Scale, Targets>, source, targets, out, extent);
}

/// What start_quantize wants of its target.
template <class Scale>
bool takes_whole_words(quantized_rows<Scale> const& out, std::int64_t cols) {
  return cols > 0 && cols % 8 == 0 && out.cols % 8 == 0 && reinterpret_cast<std::uintptr_t>(out.codes) % 8 == 0;
}

/// A thread has one row behind the first `tokens` and every gridDim.y-th scale block, which it takes from its token's row. Rows of one
/// expert are neighbours but their tokens are not: written along with the codes, scales go out four bytes at a time.
template <class Scale>
__global__ void __launch_bounds__(256)
    spread_scales(std::int64_t slots, std::int32_t const* row_to_slot, int top_k, std::int64_t tokens, quantized_rows<Scale> const out) {
  ptx::follow_dependency();
  std::int64_t const row = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (row >= slots) return;
  std::int32_t const slot = row_to_slot[row];
  if (slot < 0) return;
  std::int64_t const blocks = ceil_div(out.cols, scale_block);
  for (std::int64_t b = blockIdx.y; b < blocks; b += gridDim.y) out.scale(b, tokens + row) = out.scale(b, slot / top_k);
}

#pragma GCC visibility pop

}  // namespace detail

#pragma GCC visibility push(hidden)  // see cuda/launch.hpp

/// Every row of x quantised once and written to all rows that its token has in the map: permute after quantize, without the rows between.
/// x [T, cols] with 16-byte aligned rows, cols a multiple of 8; out: a row for each slot, behind `ahead` rows: 0, or T of the tokens
/// themselves. Rows without a slot are left alone. The bits of quantize_rows.
template <class T, class Scale>
status start_quantize_permute(cudaStream_t stream, matrix_view<T const> x, dispatch_map const& map, quantized_rows<Scale> const& out,
                              std::int64_t ahead) {
  constexpr std::int64_t many = 2048;  // tokens from which two kernels are faster than scattered scales
  if (x.rows <= 0) return {};
  bool const scales_follow = ahead > 0 && x.rows >= many;
  if (status const s = detail::start_quantize(stream, x.rows * ceil_div(x.cols, scale_block), detail::stored_values<T>{x}, out, x.cols,
                                              nullptr, detail::rows_of_token{map.slot_to_row, map.top_k, ahead, scales_follow});
      !s || !scales_follow)
    return s;
  std::int64_t const slots = x.rows * map.top_k;
  return start_rows(stream, ceil_div(slots, 256), row_blocks{256, 8}, detail::spread_scales<Scale>, slots, map.row_to_slot, map.top_k,
                    ahead, out);
}

template <class T, class Scale>
struct launcher<quantize_rows<T, Scale>> {
  static status launch(cudaStream_t stream, std::int64_t n, quantize_rows<T, Scale> const& f) {
    if (n <= 0) return {};
    if (!rows_are_16_byte_aligned(f.x) || !detail::takes_whole_words(f.out, f.x.cols)) return start_any(stream, n, f);
    return detail::start_quantize(stream, n, detail::stored_values<T>{f.x}, f.out, f.x.cols, f.row_count);
  }
};

#pragma GCC visibility pop

}  // namespace moesaic::inline MOESAIC_ABI::cuda
