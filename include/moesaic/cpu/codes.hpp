// Where the kernels find a block of weights, 128 columns of a strip: in packed matrices as it lies there, in a checkpoint's own rows as a
// packed copy that is made when it is read, so that both hold the same codes in the same order.
#pragma once

#include <cstdint>

#include <moesaic/config/weights.hpp>
#include <moesaic/core/views.hpp>
#include <moesaic/cpu/pack.hpp>

namespace moesaic::inline MOESAIC_ABI::cpu::detail {

template <class Weights>
inline constexpr bool is_packed = false;
template <weight_format F>
inline constexpr bool is_packed<packed_matrices<F>> = true;

/// Row r of expert e's scale grid.
template <weight_format F>
MOESAIC_INLINE float const* grid_row(packed_matrices<F> const& w, std::int64_t e, std::int64_t r) {
  return w.grid_row(e, r);
}
template <weight_format F>
MOESAIC_INLINE float const* grid_row(weight_matrices<F> const& w, std::int64_t e, std::int64_t r) {
  return w.scales[e] + r * ceil_div(w.k, scale_block);
}

/// The blocks of expert e's strips, T strips side by side, up to strip `end`. A position is a first strip and a block; as many blocks
/// behind a strip's last one go on in the T strips that follow.
///  read(s, b)  the codes of strip s, those of strip s + 1 strip_size() further on; null behind the last strip. Good until the next read
///  ask(s, b, part, parts, ahead)  asks memory for a part of what stands there, or leaves that to whoever prefetches 2 · 32 lines at
///  `ahead`
template <int T, class Weights>
class block_codes;

template <int T, weight_format F>
class block_codes<T, packed_matrices<F>> {
 public:
  using code = weight_code_t<F>;

  block_codes(packed_matrices<F> const& w, std::int64_t e, std::int64_t end) : w_(w), expert_(e), end_(end) {}

  std::int64_t strip_size() const { return w_.groups() * group_elements; }

  MOESAIC_INLINE code const* read(std::int64_t s, std::int64_t b) const {
    for (; b >= w_.grid_cols(); b -= w_.grid_cols()) s += T;
    return s < end_ ? w_.strip_codes(expert_, s) + b * block_groups * group_elements : nullptr;
  }

  MOESAIC_INLINE void ask(std::int64_t s, std::int64_t b, int part, int parts, char const* (&ahead)[2]) const {
    constexpr int streams = T * static_cast<int>(sizeof(code));  // of a line for each group, shared out over the parts
    code const* wanted = read(s, b);
    if (wanted == nullptr) wanted = w_.strip_codes(expert_, s);
    for (int h = 0; h < 2; ++h) {
      int const q = (2 * part + h) * streams / (2 * parts) % streams;
      ahead[h] = reinterpret_cast<char const*>(wanted + q % T * strip_size()) + q / T * (64 * block_groups);
    }
  }

 private:
  packed_matrices<F> const& w_;
  std::int64_t expert_, end_;
};

template <int T, weight_format F>
class block_codes<T, weight_matrices<F>> {
 public:
  using code = weight_code_t<F>;

  block_codes(weight_matrices<F> const& w, std::int64_t e, std::int64_t end) : w_(w), expert_(e), end_(end) {}

  static constexpr std::int64_t strip_size() { return block_groups * group_elements; }

  MOESAIC_INLINE code const* read(std::int64_t s, std::int64_t b) {
    for (; b >= blocks(); b -= blocks()) s += T;
    if (s >= end_) return nullptr;
    std::int64_t const left = w_.k - b * scale_block, columns = left < scale_block ? left : scale_block;
    for (int t = 0; t < T; ++t) {
      std::int64_t const first = (s + t) * strip, below = w_.n - first;
      pack_rows<F>(w_.row(expert_, first) + b * scale_block, w_.row_stride != 0 ? w_.row_stride : w_.k,
                   static_cast<int>(below < strip ? below : strip), columns, copy_ + t * strip_size());
    }
    return copy_;
  }

  MOESAIC_INLINE void ask(std::int64_t s, std::int64_t b, int part, int parts, char const* (&ahead)[2]) const {
    ahead[0] = ahead[1] = reinterpret_cast<char const*>(copy_);  // in L1 as it is
    for (; b >= blocks(); b -= blocks()) s += T;
    if (s >= end_) return;
    std::int64_t const behind = (s + T) * strip < w_.n ? (s + T) * strip : w_.n;
    for (std::int64_t n = s * strip + T * strip * part / parts; n < s * strip + T * strip * (part + 1) / parts && n < behind; ++n) {
      auto const* const row = reinterpret_cast<char const*>(w_.row(expert_, n) + b * scale_block);
      for (int at = 0; at < scale_block * static_cast<int>(sizeof(code)); at += 64) __builtin_prefetch(row + at, 0, 2);
    }
  }

 private:
  std::int64_t blocks() const { return ceil_div(w_.k, scale_block); }

  weight_matrices<F> const& w_;
  std::int64_t expert_, end_;
  alignas(64) code copy_[T * block_groups * group_elements];
};

}  // namespace moesaic::inline MOESAIC_ABI::cpu::detail
