// Weights in the order in which the CPU GEMM reads them: strips of 16 weight rows, in groups of four columns, whole cache lines.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <moesaic/config/weights.hpp>
#include <moesaic/core/status.hpp>
#include <moesaic/core/views.hpp>
#include <moesaic/cpu/pool.hpp>

namespace moesaic::inline MOESAIC_ABI::cpu {

/// Weight rows in a strip; eight strips are one 128-row scale block, so that a strip never needs two scales.
inline constexpr int strip = 16;
/// Columns in a group.
inline constexpr int group_columns = 4;
/// Groups in a block of 128 columns.
inline constexpr int block_groups = scale_block / group_columns;
/// Elements in a group of a strip: one cache line of one-byte codes.
inline constexpr int group_elements = strip * group_columns;
static_assert(scale_block % strip == 0 && scale_block % group_columns == 0);

/// Where row n, column j of a group lies in it. E4M3: the row's four codes side by side as columns 0, 2, 1, 3, so that the even bytes of
/// a register are two neighbouring columns of each row, and so are the odd ones. BF16: the row's columns in pairs. fp32: columns outermost.
template <weight_format F>
constexpr int place_in_group(int n, int j) {
  if constexpr (F == weight_format::e4m3_128x128)
    return n * group_columns + (j % 2 * 2 + j / 2);
  else if constexpr (F == weight_format::bf16)
    return j / 2 * (2 * strip) + n * 2 + j % 2;
  else
    return j * strip + n;
}

/// Packed copies of `experts` matrices: codes [experts][⌈n/16⌉][⌈k/4⌉][64], rows beyond n and columns beyond k are zero; scales as the
/// caller had them, [experts][⌈n/128⌉][⌈k/128⌉]. Both lie in the caller's memory, codes 64-byte aligned.
template <weight_format F>
struct packed_matrices {
  int experts = 0;
  std::int64_t n = 0, k = 0;
  weight_code_t<F>* codes = nullptr;
  float* scales = nullptr;

  std::int64_t strips() const { return ceil_div(n, strip); }
  std::int64_t groups() const { return ceil_div(k, group_columns); }
  std::int64_t grid_rows() const { return ceil_div(n, scale_block); }
  std::int64_t grid_cols() const { return ceil_div(k, scale_block); }

  weight_code_t<F>* strip_codes(std::int64_t e, std::int64_t s) const { return codes + (e * strips() + s) * groups() * group_elements; }
  float* grid_row(std::int64_t e, std::int64_t r) const { return scales + (e * grid_rows() + r) * grid_cols(); }

  /// Expert e alone: where experts arrive one by one, each is packed as it comes.
  packed_matrices expert(std::int64_t e) const { return {1, n, k, strip_codes(e, 0), scales != nullptr ? grid_row(e, 0) : nullptr}; }

  std::size_t strip_bytes() const { return static_cast<std::size_t>(groups() * group_elements) * sizeof(weight_code_t<F>); }
  std::size_t code_bytes() const { return static_cast<std::size_t>(experts * strips()) * strip_bytes(); }
  std::size_t scale_bytes() const {
    if constexpr (F == weight_format::e4m3_128x128)
      return static_cast<std::size_t>(align_up(experts * grid_rows() * grid_cols() * static_cast<std::int64_t>(sizeof(float)), 64));
    else
      return 0;
  }
};

namespace detail {

/// Bytes of a row that are packed at once, and of a line of a packed strip: 32 bits of each row.
inline constexpr int line_bytes = 64;

/// 64 bytes of each of 16 rows → 16 lines. All formats are a transposition of units of 32 bits: four E4M3 codes of a row, whose middle two
/// change places, two bf16 or one fp32. Squares of four units, which the narrowest vectors hold, are faster than memory already. Four rows
/// are read to their end before the next four are: rows that share a set of the cache would drive each other out.
template <weight_format F>
MOESAIC_INLINE void pack_run(std::byte const* from, std::int64_t stride, std::byte* to) {
  using units = std::uint32_t __attribute__((vector_size(16)));
  for (int n = 0; n < strip; n += 4)
    for (int u = 0; u < line_bytes / 4; u += 4) {
      units x[4];
      for (int i = 0; i < 4; ++i) {
        std::memcpy(&x[i], from + (n + i) * stride + u * 4, sizeof x[i]);
        if constexpr (F == weight_format::e4m3_128x128) x[i] = (x[i] & 0xFF0000FFU) | (x[i] << 8 & 0x00FF0000U) | (x[i] >> 8 & 0x0000FF00U);
      }
      units const low[2] = {__builtin_shufflevector(x[0], x[1], 0, 4, 1, 5), __builtin_shufflevector(x[2], x[3], 0, 4, 1, 5)};
      units const high[2] = {__builtin_shufflevector(x[0], x[1], 2, 6, 3, 7), __builtin_shufflevector(x[2], x[3], 2, 6, 3, 7)};
      units const y[4] = {__builtin_shufflevector(low[0], low[1], 0, 1, 4, 5), __builtin_shufflevector(low[0], low[1], 2, 3, 6, 7),
                          __builtin_shufflevector(high[0], high[1], 0, 1, 4, 5), __builtin_shufflevector(high[0], high[1], 2, 3, 6, 7)};
      for (int i = 0; i < 4; ++i) std::memcpy(to + (u + i) * line_bytes + n * 4, &y[i], sizeof y[i]);
    }
}

/// `rows` (at most 16) rows of k elements, `stride` elements apart → a packed strip.
template <weight_format F>
void pack_rows(weight_code_t<F> const* from, std::int64_t stride, int rows, std::int64_t k, weight_code_t<F>* to) {
  constexpr std::int64_t size = sizeof(weight_code_t<F>);
  auto const* const in = reinterpret_cast<std::byte const*>(from);
  auto* const out = reinterpret_cast<std::byte*>(to);
  std::int64_t const bytes = k * size, padded = align_up(k, group_columns) * size;
  std::int64_t at = 0;
  if (rows == strip)
    for (; at + line_bytes <= bytes; at += line_bytes) pack_run<F>(in + at, stride * size, out + at * strip);
  for (; at < bytes; at += line_bytes) {  // what is not there is zero
    std::byte run[strip * line_bytes] = {}, packed[strip * line_bytes];
    std::int64_t const width = bytes - at < line_bytes ? bytes - at : line_bytes,
                       padded_width = padded - at < line_bytes ? padded - at : line_bytes;
    for (int n = 0; n < rows; ++n) std::memcpy(run + n * line_bytes, in + n * stride * size + at, static_cast<std::size_t>(width));
    pack_run<F>(run, line_bytes, packed);
    std::memcpy(out + at * strip, packed, static_cast<std::size_t>(padded_width * strip));
  }
}

template <weight_format F>
status check_in_place(packed_matrices<F> const& m, memory const& scratch) {
  if (m.experts < 0) return {errc::too_small, "matrices", "experts", m.experts, 0};
  if (m.n < 0) return {errc::too_small, "matrices", "n", m.n, 0};
  if (m.k < 0) return {errc::too_small, "matrices", "k", m.k, 0};
  if (m.n % strip != 0) return {errc::shape_mismatch, "matrices", "n", m.n, align_up(m.n, strip)};
  if (m.k % group_columns != 0) return {errc::shape_mismatch, "matrices", "k", m.k, align_up(m.k, group_columns)};
  if (m.code_bytes() == 0) return {};
  auto const off = [](void const* p) { return static_cast<long long>(reinterpret_cast<std::uintptr_t>(p) % 64); };
  if (m.codes == nullptr) return {errc::null_argument, "matrices", "codes", 0, 0};
  if (off(m.codes) != 0) return {errc::misaligned, "matrices", "codes", off(m.codes), 64};
  if (scratch.bytes < m.strip_bytes())
    return {errc::memory_too_small, "scratch", "", static_cast<long long>(scratch.bytes), static_cast<long long>(m.strip_bytes())};
  if (scratch.data == nullptr) return {errc::null_argument, "scratch", "data", 0, 0};
  if (off(scratch.data) != 0) return {errc::misaligned, "scratch", "data", off(scratch.data), 64};
  return {};
}

}  // namespace detail

/// Copies strip s of expert e.
template <weight_format F>
void pack_strip(weight_matrices<F> const& from, packed_matrices<F> const& to, std::int64_t e, std::int64_t s) {
  std::int64_t const first = s * strip;
  int const rows = static_cast<int>(from.n - first < strip ? from.n - first : strip);
  detail::pack_rows<F>(from.row(e, first), from.row_stride != 0 ? from.row_stride : from.k, rows, from.k, to.strip_codes(e, s));
  if constexpr (F == weight_format::e4m3_128x128) {
    if (first % scale_block != 0) return;
    std::int64_t const grid_row = first / scale_block;
    for (std::int64_t b = 0; b < to.grid_cols(); ++b) to.grid_row(e, grid_row)[b] = from.scales[e][grid_row * to.grid_cols() + b];
  }
}

/// Copies everything; each strip is an item for the pool. `to` has its shape and addresses set.
template <weight_format F, pool P>
void pack(P& threads, weight_matrices<F> const& from, packed_matrices<F> const& to) {
  std::int64_t const strips = to.strips();
  threads.parallel_for(from.experts * strips, [&](std::int64_t i) { pack_strip(from, to, i / strips, i % strips); });
}

/// Packs where the rows lie, so that no second copy is ever held: a strip is no larger than its 16 rows. At the call `matrices.codes` holds
/// row-major codes [experts][n][k] without gaps, where n is a multiple of 16 and k of 4, 64-byte aligned; afterwards `matrices` can be
/// multiplied by. `matrices.scales` is neither read nor written: a checkpoint's grids are what is wanted there.
///
/// `scratch`: 64-byte aligned, outside of `matrices`; matrices.strip_bytes() for each item that the pool is given, which take equal shares
/// of the strips. So as many as there are threads, or some more where threads are not equally fast; at least one.
template <weight_format F, pool P>
status pack_in_place(P& threads, packed_matrices<F> const& matrices, memory scratch) {
  if (status const s = detail::check_in_place(matrices, scratch); !s) return s;
  std::int64_t const strips = matrices.experts * matrices.strips();
  std::size_t const bytes = matrices.strip_bytes();
  if (strips == 0 || bytes == 0) return {};
  std::int64_t const homes = static_cast<std::int64_t>(scratch.bytes / bytes), pieces = homes < strips ? homes : strips;
  threads.parallel_for(pieces, [&](std::int64_t p) {
    auto* const rows = reinterpret_cast<weight_code_t<F>*>(static_cast<std::byte*>(scratch.data) + p * static_cast<std::int64_t>(bytes));
    for (std::int64_t s = strips * p / pieces; s < strips * (p + 1) / pieces; ++s) {
      weight_code_t<F>* const home = matrices.strip_codes(0, s);
      std::memcpy(static_cast<void*>(rows), home, bytes);
      detail::pack_rows<F>(rows, matrices.k, strip, matrices.k, home);
    }
  });
  return {};
}

}  // namespace moesaic::inline MOESAIC_ABI::cpu
