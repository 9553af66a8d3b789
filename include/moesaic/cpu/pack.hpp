// Weights in the order in which the CPU GEMM reads them: strips of 16 weight rows, in groups of four columns, whole cache lines.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <moesaic/config/weights.hpp>
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
/// caller had them, [experts][⌈n/128⌉][⌈k/128⌉]. Both lie in the caller's memory, 64-byte aligned.
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

  std::size_t code_bytes() const {
    return static_cast<std::size_t>(experts * strips() * groups() * group_elements) * sizeof(weight_code_t<F>);
  }
  std::size_t scale_bytes() const {
    if constexpr (F == weight_format::e4m3_128x128)
      return static_cast<std::size_t>(align_up(experts * grid_rows() * grid_cols() * static_cast<std::int64_t>(sizeof(float)), 64));
    else
      return 0;
  }
};

/// Copies strip s of expert e.
template <weight_format F>
void pack_strip(weight_matrices<F> const& from, packed_matrices<F> const& to, std::int64_t e, std::int64_t s) {
  using code = weight_code_t<F>;
  code* out = to.strip_codes(e, s);
  std::int64_t const first = s * strip;
  int const rows = static_cast<int>(from.n - first < strip ? from.n - first : strip);
  if (rows < strip) std::memset(static_cast<void*>(out), 0, static_cast<std::size_t>(to.groups() * group_elements) * sizeof(code));
  code const* row[strip];
  for (int n = 0; n < rows; ++n) row[n] = from.row(e, first + n);
  for (std::int64_t c = 0; c < from.k; c += group_columns, out += group_elements) {
    int const columns = static_cast<int>(from.k - c < group_columns ? from.k - c : group_columns);
    for (int n = 0; n < rows; ++n) {
      code four[group_columns] = {};
      std::memcpy(four, row[n] + c, static_cast<std::size_t>(columns) * sizeof(code));
      for (int j = 0; j < group_columns; ++j) out[place_in_group<F>(n, j)] = four[j];
    }
  }
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

}  // namespace moesaic::inline MOESAIC_ABI::cpu
