// Argument checks, once for all backends.
#pragma once

#include <cstddef>
#include <cstdint>

#include <moesaic/core/same_as.hpp>
#include <moesaic/core/status.hpp>
#include <moesaic/core/views.hpp>
#include <moesaic/semantics/handoff.hpp>

namespace moesaic::inline MOESAIC_ABI::check {

/// The first status that is not fine.
constexpr status first_error(detail::same_as<status> auto const&... all) {
  status first;
  ((first ? void(first = all) : void()), ...);
  return first;
}

constexpr status equal(char const* argument, char const* member, long long value, long long expected) {
  return value == expected ? status{} : status{errc::shape_mismatch, argument, member, value, expected};
}

constexpr status at_most(char const* argument, char const* member, long long value, long long largest) {
  return value >= 0 && value <= largest ? status{} : status{errc::out_of_range, argument, member, value, largest};
}

constexpr status at_least(char const* argument, char const* member, long long value, long long smallest) {
  return value >= smallest ? status{} : status{errc::too_small, argument, member, value, smallest};
}

constexpr status not_null(char const* argument, char const* member, bool null) {
  return null ? status{errc::null_argument, argument, member, 0, 0} : status{};
}

inline status aligned(char const* argument, char const* member, void const* p, long long to) {
  long long const off = static_cast<long long>(reinterpret_cast<std::uintptr_t>(p) % static_cast<std::uintptr_t>(to));
  return off == 0 ? status{} : status{errc::misaligned, argument, member, off, to};
}

/// Shape, null, row stride, and alignment of every row to `alignment` bytes.
template <class T>
status matrix(char const* argument, matrix_view<T> const& m, std::int64_t rows, std::int64_t cols, long long alignment = alignof(T)) {
  if (status const s = first_error(equal(argument, "rows", m.rows, rows), equal(argument, "cols", m.cols, cols)); !s) return s;
  if (rows == 0) return {};
  if (m.stride < cols) return {errc::shape_mismatch, argument, "stride", m.stride, cols};
  if (m.data == nullptr) return not_null(argument, "data", true);
  if (status const s = aligned(argument, "data", m.data, alignment); !s) return s;
  long long const off = m.stride * static_cast<long long>(sizeof(T)) % alignment;
  return rows == 1 || off == 0 ? status{} : status{errc::misaligned, argument, "stride", off, alignment};
}

/// Rows that kernels load 16 bytes at a time.
template <class T>
status rows_of_16_bytes(char const* argument, matrix_view<T> const& m, std::int64_t rows, std::int64_t cols) {
  return matrix(argument, m, rows, cols, 16);
}

inline status caller_memory(char const* argument, memory const& m, std::size_t needed) {
  if (needed == 0) return {};
  if (m.bytes < needed) return {errc::memory_too_small, argument, "", static_cast<long long>(m.bytes), static_cast<long long>(needed)};
  if (m.data == nullptr) return not_null(argument, "data", true);
  return aligned(argument, "data", m.data, 64);
}

/// tokens · top_k must fit the i32 slots of a dispatch map.
constexpr status slots(char const* argument, char const* member, std::int64_t tokens, std::int64_t top_k) {
  return at_most(argument, member, tokens, top_k > 0 ? 0x7fffffffLL / top_k : 0x7fffffffLL);
}

inline status choice(char const* argument, topk_choice const& c, std::int64_t tokens, int top_k) {
  return first_error(equal(argument, "tokens", c.tokens, tokens), equal(argument, "top_k", c.top_k, top_k),
                     not_null(argument, "ids", tokens > 0 && c.ids == nullptr),
                     not_null(argument, "weights", tokens > 0 && c.weights == nullptr));
}

inline status map(char const* argument, dispatch_map const& m, std::int64_t tokens, int top_k) {
  return first_error(equal(argument, "tokens", m.tokens, tokens), equal(argument, "top_k", m.top_k, top_k),
                     at_most(argument, "experts", m.experts, 0x7fffffff), not_null(argument, "expert_offsets", m.expert_offsets == nullptr),
                     not_null(argument, "row_to_slot", tokens > 0 && m.row_to_slot == nullptr),
                     not_null(argument, "slot_to_row", tokens > 0 && m.slot_to_row == nullptr));
}

template <class Scale>
status quantized(char const* argument, quantized_rows<Scale> const& q, std::int64_t rows, std::int64_t cols) {
  return first_error(equal(argument, "rows", q.rows, rows), equal(argument, "cols", q.cols, cols),
                     at_most(argument, "rows", q.rows, q.scale_stride), not_null(argument, "codes", rows > 0 && q.codes == nullptr),
                     not_null(argument, "scales", rows > 0 && q.scales == nullptr));
}

/// Weights that prepare() has made: anything else has no shape.
template <class Prepared>
constexpr status prepared(char const* argument, Prepared const& w, std::int64_t experts, std::int64_t n, std::int64_t k) {
  return first_error(equal(argument, "experts", w.experts, experts), equal(argument, "n", w.n, n), equal(argument, "k", w.k, k));
}

/// Weights as a loader hands them over. Tensors of one-byte codes may lie anywhere; wider elements at their natural alignment.
template <weight_format F>
status weights(char const* argument, weight_matrices<F> const& w, std::int64_t experts, std::int64_t n, std::int64_t k) {
  if (status const s =
          first_error(equal(argument, "experts", w.experts, experts), equal(argument, "n", w.n, n), equal(argument, "k", w.k, k));
      !s)
    return s;
  if (experts == 0) return {};
  if (w.row_stride != 0 && w.row_stride < k) return {errc::shape_mismatch, argument, "row_stride", w.row_stride, k};
  if (w.codes.is_null()) return not_null(argument, "codes", true);
  if (F == weight_format::e4m3_128x128 && w.scales.is_null()) return not_null(argument, "scales", true);
  for (std::int64_t e = 0; e < experts; ++e) {
    if (w.codes[e] == nullptr) return not_null(argument, "codes", true);
    if (status const s = aligned(argument, "codes", w.codes[e], alignof(weight_code_t<F>)); !s) return s;
    if constexpr (F == weight_format::e4m3_128x128) {
      if (w.scales[e] == nullptr) return not_null(argument, "scales", true);
      if (status const s = aligned(argument, "scales", w.scales[e], alignof(float)); !s) return s;
    }
  }
  return {};
}

/// One row of fp32 biases for each expert.
inline status biases(char const* argument, char const* member, expert_array<float> const& b, int rows) {
  if (b.is_null()) return not_null(argument, member, true);
  for (int e = 0; e < rows; ++e) {
    if (status const s = not_null(argument, member, b[e] == nullptr); !s) return s;
    if (status const s = aligned(argument, member, b[e], alignof(float)); !s) return s;
  }
  return {};
}

}  // namespace moesaic::inline MOESAIC_ABI::check
