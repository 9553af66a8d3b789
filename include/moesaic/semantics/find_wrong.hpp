// The checked mode's arithmetic: the first wrong entry of an array in reading order, the same whoever looks.
#pragma once

#include <cstdint>

#include <moesaic/num/bits.hpp>
#include <moesaic/num/convert.hpp>
#include <moesaic/semantics/group.hpp>
#include <moesaic/semantics/handoff.hpp>

namespace moesaic::inline MOESAIC_ABI {

enum class wrong : std::int32_t {
  nothing,
  id,           // an expert id that is neither −1 nor in [0, experts)
  repeated_id,  // an expert that the token has chosen already
  not_finite,   // NaN or infinite where a number is meant
  nan_code,     // the E4M3 codes 0x7F and 0xFF
};

/// What was found, and where: argument.member[expert][row, column]. All bytes 0: nothing. Lies in memory that the backend writes; the two
/// names are the host's.
struct finding {
  wrong what;
  std::int32_t value;         ///< the id, the code, or the fp32 bits
  std::int32_t experts;       ///< wrong::id: how many there are
  std::int32_t expert;        ///< −1: the array is not one of an expert's
  std::int64_t row, column;   ///< for scales of rows: block of 128 columns, row
  std::int64_t first_column;  ///< wrong::repeated_id: where the expert was chosen first
  char const* argument;
  char const* member;
};

MOESAIC_INLINE constexpr bool is_finite(float x) { return abs_bits(x) < inf_bits; }
MOESAIC_INLINE constexpr bool is_nan_code(std::uint8_t e4m3) { return (e4m3 & 0x7FU) == 0x7FU; }

// What can be searched: rows() and columns(), wrong_at(row, column), and report(row, column) for an entry that is wrong.

struct searched_ids {
  topk_choice choice;
  int experts;
  char const* argument;

  MOESAIC_HD std::int64_t rows() const { return choice.tokens; }
  MOESAIC_HD std::int64_t columns() const { return choice.top_k; }
  MOESAIC_HD std::int64_t first_of(std::int64_t t, std::int64_t k) const {
    std::int32_t const* const id = choice.ids + t * choice.top_k;
    std::int64_t first = 0;
    while (id[first] != id[k]) ++first;
    return first;
  }
  MOESAIC_HD bool wrong_at(std::int64_t t, std::int64_t k) const {
    std::int32_t const id = choice.ids[t * choice.top_k + k];
    return id < -1 || id >= experts || (id >= 0 && first_of(t, k) < k);
  }
  MOESAIC_HD finding report(std::int64_t t, std::int64_t k) const {
    std::int32_t const id = choice.ids[t * choice.top_k + k];
    bool const known = id >= 0 && id < experts;
    return {known ? wrong::repeated_id : wrong::id, id, experts, -1, t, k, first_of(t, k), argument, "ids"};
  }
};

/// Weights of slots that have an expert.
struct searched_choice_weights {
  topk_choice choice;
  int experts;
  char const* argument;

  MOESAIC_HD std::int64_t rows() const { return choice.tokens; }
  MOESAIC_HD std::int64_t columns() const { return choice.top_k; }
  MOESAIC_HD bool wrong_at(std::int64_t t, std::int64_t k) const {
    std::int64_t const slot = t * choice.top_k + k;
    return choice.ids[slot] >= 0 && choice.ids[slot] < experts && !is_finite(choice.weights[slot]);
  }
  MOESAIC_HD finding report(std::int64_t t, std::int64_t k) const {
    auto const bits = static_cast<std::int32_t>(to_bits(choice.weights[t * choice.top_k + k]));
    return {wrong::not_finite, bits, 0, -1, t, k, 0, argument, "weights"};
  }
};

template <class T>
struct searched_matrix {
  matrix_view<T const> x;
  char const* argument;

  MOESAIC_HD std::int64_t rows() const { return x.rows; }
  MOESAIC_HD std::int64_t columns() const { return x.cols; }
  MOESAIC_HD bool wrong_at(std::int64_t r, std::int64_t c) const { return !is_finite(to_float(x(r, c))); }
  MOESAIC_HD finding report(std::int64_t r, std::int64_t c) const {
    return {wrong::not_finite, static_cast<std::int32_t>(to_bits(to_float(x(r, c)))), 0, -1, r, c, 0, argument, ""};
  }
};

/// Rows of all experts one after another.
template <weight_format F>
struct searched_weights {
  weight_matrices<F> w;
  char const* argument;

  MOESAIC_HD std::int64_t rows() const { return w.experts * w.n; }
  MOESAIC_HD std::int64_t columns() const { return w.k; }
  MOESAIC_HD weight_code_t<F> at(std::int64_t r, std::int64_t c) const { return w.row(r / w.n, r % w.n)[c]; }
  MOESAIC_HD bool wrong_at(std::int64_t r, std::int64_t c) const {
    if constexpr (F == weight_format::e4m3_128x128)
      return is_nan_code(at(r, c));
    else
      return !is_finite(to_float(at(r, c)));
  }
  MOESAIC_HD finding report(std::int64_t r, std::int64_t c) const {
    finding f{wrong::nan_code, 0, 0, static_cast<std::int32_t>(r / w.n), r % w.n, c, 0, argument, ""};
    if constexpr (F == weight_format::e4m3_128x128) {
      f.value = at(r, c);
    } else {
      f.what = wrong::not_finite;
      f.value = static_cast<std::int32_t>(to_bits(to_float(at(r, c))));
    }
    return f;
  }
};

/// One row of biases for each expert, or for the router a single one.
struct searched_biases {
  expert_array<float> biases;
  int count, width;
  char const* member;

  MOESAIC_HD std::int64_t rows() const { return count; }
  MOESAIC_HD std::int64_t columns() const { return width; }
  MOESAIC_HD bool wrong_at(std::int64_t e, std::int64_t c) const { return !is_finite(biases[e][c]); }
  MOESAIC_HD finding report(std::int64_t e, std::int64_t c) const {
    return {wrong::not_finite, static_cast<std::int32_t>(to_bits(biases[e][c])), 0, -1, e, c, 0, "weights", member};
  }
};

/// Scale grids of all experts one after another.
struct searched_weight_scales {
  expert_array<float> scales;
  std::int64_t experts, grid_rows, grid_cols;
  char const* argument;

  MOESAIC_HD std::int64_t rows() const { return experts * grid_rows; }
  MOESAIC_HD std::int64_t columns() const { return grid_cols; }
  MOESAIC_HD float at(std::int64_t r, std::int64_t c) const { return scales[r / grid_rows][r % grid_rows * grid_cols + c]; }
  MOESAIC_HD bool wrong_at(std::int64_t r, std::int64_t c) const { return !is_finite(at(r, c)); }
  MOESAIC_HD finding report(std::int64_t r, std::int64_t c) const {
    return {wrong::not_finite,
            static_cast<std::int32_t>(to_bits(at(r, c))),
            0,
            static_cast<std::int32_t>(r / grid_rows),
            r % grid_rows,
            c,
            0,
            argument,
            "scales"};
  }
};

template <class Scale>
struct searched_codes {
  quantized_rows<Scale> q;
  char const* argument;

  MOESAIC_HD std::int64_t rows() const { return q.rows; }
  MOESAIC_HD std::int64_t columns() const { return q.cols; }
  MOESAIC_HD bool wrong_at(std::int64_t r, std::int64_t c) const { return is_nan_code(q.codes[r * q.cols + c]); }
  MOESAIC_HD finding report(std::int64_t r, std::int64_t c) const {
    return {wrong::nan_code, q.codes[r * q.cols + c], 0, -1, r, c, 0, argument, "codes"};
  }
};

template <class Scale>
struct searched_row_scales {
  quantized_rows<Scale> q;
  char const* argument;

  MOESAIC_HD std::int64_t rows() const { return ceil_div(q.cols, scale_block); }
  MOESAIC_HD std::int64_t columns() const { return q.rows; }
  MOESAIC_HD bool wrong_at(std::int64_t b, std::int64_t r) const { return !is_finite(scale_to_float(q.scale(b, r))); }
  MOESAIC_HD finding report(std::int64_t b, std::int64_t r) const {
    return {wrong::not_finite, static_cast<std::int32_t>(to_bits(scale_to_float(q.scale(b, r)))), 0, -1, b, r, 0, argument, "scales"};
  }
};

/// No column: the row is fine.
inline constexpr std::uint32_t no_column = ~0U;

/// first_column[row] = the first wrong entry of the row. Nothing to do once `out` holds a finding.
template <class Searched>
struct search_row {
  struct scratch {};

  Searched in;
  std::uint32_t* first_column;
  finding const* out;

  template <group G>
  MOESAIC_HD void operator()(G const& g, std::int64_t row, scratch&) const {
    if (out->what != wrong::nothing) return;
    Searched const s = in;
    std::uint32_t const column =
        g.min(static_cast<int>(s.columns()), [=](int c) { return s.wrong_at(row, c) ? static_cast<std::uint32_t>(c) : no_column; });
    std::uint32_t* const to = first_column + row;
    g.single([=] { *to = column; });
  }
};

/// The first row that search_row has found wrong, as a finding. One group.
template <class Searched>
struct report_first_row {
  struct scratch {};

  Searched in;
  std::uint32_t const* first_column;
  finding* out;

  template <group G>
  MOESAIC_HD void operator()(G const& g, std::int64_t, scratch&) const {
    if (out->what != wrong::nothing) return;
    Searched const s = in;
    std::uint32_t const* const column = first_column;
    std::uint32_t const row =
        g.min(static_cast<int>(s.rows()), [=](int r) { return column[r] != no_column ? static_cast<std::uint32_t>(r) : no_column; });
    finding* const to = out;
    if (row != no_column) g.single([=] { *to = s.report(row, column[row]); });
  }
};

}  // namespace moesaic::inline MOESAIC_ABI
