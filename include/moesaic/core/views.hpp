// Views of memory that the caller owns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <moesaic/core/macros.hpp>

namespace moesaic::inline MOESAIC_ABI {

MOESAIC_HD constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
MOESAIC_HD constexpr std::int64_t align_up(std::int64_t a, std::int64_t to) { return ceil_div(a, to) * to; }

/// A row-major matrix [rows, cols] of T (float, bf16, fp16, or const of these). `stride` counts elements from row to row.
/// Fast paths want 16-byte aligned rows (address and stride); the stages check that.
template <class T>
struct matrix_view {
  T* data = nullptr;
  std::int64_t rows = 0, cols = 0, stride = 0;

  constexpr matrix_view() = default;
  MOESAIC_HD constexpr matrix_view(T* p, std::int64_t r, std::int64_t c) : data(p), rows(r), cols(c), stride(c) {}
  MOESAIC_HD constexpr matrix_view(T* p, std::int64_t r, std::int64_t c, std::int64_t s) : data(p), rows(r), cols(c), stride(s) {}
  /// A writable matrix is a readable one.
  template <class U, class = std::enable_if_t<!std::is_const_v<U> && std::is_same_v<U const, T>>>
  MOESAIC_HD constexpr matrix_view(matrix_view<U> const& m) : data(m.data), rows(m.rows), cols(m.cols), stride(m.stride) {}

  MOESAIC_HD constexpr T* row(std::int64_t r) const { return data + r * stride; }
  MOESAIC_HD constexpr T& operator()(std::int64_t r, std::int64_t c) const { return data[r * stride + c]; }
};

/// Caller-owned bytes: a workspace, or the home of prepared weights. 64-byte aligned, checked where it is used.
struct memory {
  void* data = nullptr;
  std::size_t bytes = 0;
};

}  // namespace moesaic::inline MOESAIC_ABI
