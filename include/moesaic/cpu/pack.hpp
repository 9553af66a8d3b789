// Weights in the order in which the CPU GEMM reads them: strips of 32 weight rows, columns outermost, one cache line or more per column.
#pragma once

#include <cstddef>
#include <cstdint>

#include <moesaic/config/weights.hpp>
#include <moesaic/core/views.hpp>
#include <moesaic/cpu/pool.hpp>

namespace moesaic::inline MOESAIC_ABI::cpu {

/// Weight rows in a strip; four strips are one 128-row scale block, so that a strip never needs two scales.
inline constexpr int strip = 32;
static_assert(scale_block % strip == 0);

/// Packed copies of `experts` matrices: codes [experts][⌈n/32⌉][k][32], rows beyond n are zero; scales as the caller had them,
/// [experts][⌈n/128⌉][⌈k/128⌉]. Both lie in the caller's memory, 64-byte aligned.
template <weight_format F>
struct packed_matrices {
  int experts = 0;
  std::int64_t n = 0, k = 0;
  weight_code_t<F>* codes = nullptr;
  float* scales = nullptr;

  std::int64_t strips() const { return ceil_div(n, strip); }
  std::int64_t grid_rows() const { return ceil_div(n, scale_block); }
  std::int64_t grid_cols() const { return ceil_div(k, scale_block); }

  weight_code_t<F>* strip_codes(std::int64_t e, std::int64_t s) const { return codes + (e * strips() + s) * k * strip; }
  float* grid_row(std::int64_t e, std::int64_t r) const { return scales + (e * grid_rows() + r) * grid_cols(); }

  std::size_t code_bytes() const {
    return static_cast<std::size_t>(align_up(experts * strips() * k * strip * static_cast<std::int64_t>(sizeof(weight_code_t<F>)), 64));
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
  weight_code_t<F>* const out = to.strip_codes(e, s);
  std::int64_t const first = s * strip;
  std::int64_t const rows = from.n - first < strip ? from.n - first : strip;
  for (std::int64_t r = 0; r < rows; ++r) {
    weight_code_t<F> const* const in = from.row(e, first + r);
    for (std::int64_t c = 0; c < from.k; ++c) out[c * strip + r] = in[c];
  }
  for (std::int64_t r = rows; r < strip; ++r)
    for (std::int64_t c = 0; c < from.k; ++c) out[c * strip + r] = weight_code_t<F>{};
  if constexpr (F == weight_format::e4m3_128x128) {
    if (first % scale_block != 0) return;
    std::int64_t const row = first / scale_block;
    for (std::int64_t b = 0; b < to.grid_cols(); ++b) to.grid_row(e, row)[b] = from.scales[e][row * to.grid_cols() + b];
  }
}

/// Copies everything; each strip is an item for the pool. `to` has its shape and addresses set.
template <weight_format F, pool P>
void pack(P& threads, weight_matrices<F> const& from, packed_matrices<F> const& to) {
  std::int64_t const strips = to.strips();
  threads.parallel_for(from.experts * strips, [&](std::int64_t i) { pack_strip(from, to, i / strips, i % strips); });
}

}  // namespace moesaic::inline MOESAIC_ABI::cpu
