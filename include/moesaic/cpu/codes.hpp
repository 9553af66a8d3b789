// Where the kernels find weights: one expert's strips, of one matrix or of gate and up by turns, packed or as a checkpoint has them. In
// packed matrices a block, 128 columns of a strip, is read as it lies there; of a checkpoint's own rows a packed copy is made when it is
// read, so that both hold the same codes in the same order.
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

/// The strips of one expert: of one matrix, or of gate and up by turns: strip s is strip s / Matrices of matrix s % Matrices, so that the
/// two products that an activation reads come from one pass. All matrices have the same shape.
template <class Weights, int Matrices>
struct expert_strips;
template <template <weight_format> class Weights, weight_format F, int Matrices>
struct expert_strips<Weights<F>, Matrices> {
  static constexpr weight_format format = F;
  static constexpr bool packed = is_packed<Weights<F>>;
  static constexpr int matrices = Matrices;
  using code = weight_code_t<F>;

  Weights<F> const* matrix[Matrices];
  std::int64_t expert;

  std::int64_t k() const { return matrix[0]->k; }
  std::int64_t blocks() const { return ceil_div(k(), scale_block); }
  MOESAIC_INLINE Weights<F> const& of(std::int64_t s) const { return *matrix[s % Matrices]; }
  /// Its row of the scale grid.
  MOESAIC_INLINE float const* grid(std::int64_t s) const { return grid_row(of(s), expert, s / Matrices * strip / scale_block); }
  /// Where it lies, packed.
  MOESAIC_INLINE code const* codes(std::int64_t s) const { return of(s).strip_codes(expert, s / Matrices); }
};

/// A strip that is read after others, if anybody knows which.
template <class Strips>
struct strip_place {
  Strips strips;
  std::int64_t s;
};

/// The blocks of the strips up to strip `end`, T side by side. A position is a first strip and a block; as many blocks behind a strip's
/// last one go on in the T strips that follow, then at `after`.
///  read(s, b, at)  at[t] = the codes of strip s + t; false behind the last strip. Good until the next read
///  ask(s, b, part, parts, ahead)  asks memory for a part of what stands there, or leaves that to whoever prefetches 2 · 32 lines at
///  `ahead`
template <int T, class Strips, bool Packed = Strips::packed>
class block_codes;

template <int T, class Strips>
class block_codes<T, Strips, true> {
 public:
  using code = typename Strips::code;

  block_codes(Strips const& w, std::int64_t end, strip_place<Strips> const& after) : w_(w), end_(end), after_(after) {}

  MOESAIC_INLINE bool read(std::int64_t s, std::int64_t b, code const* (&at)[T]) const {
    for (; b >= w_.blocks(); b -= w_.blocks()) s += T;
    if (s >= end_) return false;
    for (int t = 0; t < T; ++t) at[t] = w_.codes(s + t) + b * block_groups * group_elements;
    return true;
  }

  MOESAIC_INLINE void ask(std::int64_t s, std::int64_t b, int part, int parts, char const* (&ahead)[2]) const {
    constexpr int streams = T * static_cast<int>(sizeof(code));  // of a line for each group, shared out over the parts
    for (; b >= w_.blocks(); b -= w_.blocks()) s += T;
    for (int h = 0; h < 2; ++h) {
      int const q = (2 * part + h) * streams / (2 * parts) % streams;
      code const* const strip_codes = s < end_ ? w_.codes(s + q % T) : after_.strips.codes(after_.s + q % T);
      ahead[h] = reinterpret_cast<char const*>(strip_codes + b * block_groups * group_elements) + q / T * (64 * block_groups);
    }
  }

 private:
  Strips const& w_;
  std::int64_t end_;
  strip_place<Strips> const& after_;
};

template <int T, class Strips>
class block_codes<T, Strips, false> {
 public:
  using code = typename Strips::code;

  block_codes(Strips const& w, std::int64_t end, strip_place<Strips> const&) : w_(w), end_(end) {}

  MOESAIC_INLINE bool read(std::int64_t s, std::int64_t b, code const* (&at)[T]) {
    for (; b >= w_.blocks(); b -= w_.blocks()) s += T;
    if (s >= end_) return false;
    std::int64_t const left = w_.k() - b * scale_block, columns = left < scale_block ? left : scale_block;
    for (int t = 0; t < T; ++t) {
      auto const& w = w_.of(s + t);
      std::int64_t const first = (s + t) / Strips::matrices * strip, below = w.n - first;
      pack_rows<Strips::format>(w.row(w_.expert, first) + b * scale_block, w.row_stride != 0 ? w.row_stride : w.k,
                                static_cast<int>(below < strip ? below : strip), columns, copy_[t]);
      at[t] = copy_[t];
    }
    return true;
  }

  MOESAIC_INLINE void ask(std::int64_t s, std::int64_t b, int part, int parts, char const* (&ahead)[2]) const {
    ahead[0] = ahead[1] = reinterpret_cast<char const*>(copy_);  // in L1 as it is
    for (; b >= w_.blocks(); b -= w_.blocks()) s += T;
    if (s >= end_) return;
    for (int i = T * strip * part / parts; i < T * strip * (part + 1) / parts; ++i) {
      auto const& w = w_.of(s + i / strip);
      std::int64_t const n = (s + i / strip) / Strips::matrices * strip + i % strip;
      if (n >= w.n) continue;
      auto const* const row = reinterpret_cast<char const*>(w.row(w_.expert, n) + b * scale_block);
      for (int at = 0; at < scale_block * static_cast<int>(sizeof(code)); at += 64) __builtin_prefetch(row + at, 0, 2);
    }
  }

 private:
  Strips const& w_;
  std::int64_t end_;
  alignas(64) code copy_[T][block_groups * group_elements];
};

}  // namespace moesaic::inline MOESAIC_ABI::cpu::detail
