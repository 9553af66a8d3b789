// The checked mode: when a layer gives NaN or nonsense, which of its inputs is wrong, and where. Kernels never look for themselves: wrong
// data gives a defined result at full speed. These calls look, at the price of reading the data once more.
//
//   finding f{};                                            // all bytes 0, in memory that the backend writes
//   find_wrong(ctx, weights, scratch, &f);                  // once per load; scratch: find_wrong_bytes<layer>()
//   find_wrong(ctx, x, scratch, &f, "x");                   // scratch: find_wrong_bytes(rows)
//   find_wrong(ctx, choice, layer::config.experts, scratch, &f);
//   if (f.what != wrong::nothing) puts(describe(f).c_str());   // on a device: copied back after the stream is done
//   // choice.ids[3, 2] is 300, expected -1 to 255
//
// The first call that finds something keeps its finding, later ones do nothing; within a call the first in reading order is reported, the
// same on every backend and any number of threads. Scratch may be shared by calls that run one after another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <type_traits>

#include <moesaic/pipeline/arena.hpp>
#include <moesaic/pipeline/backend.hpp>
#include <moesaic/pipeline/check.hpp>
#include <moesaic/pipeline/prepare.hpp>
#include <moesaic/semantics/find_wrong.hpp>

namespace moesaic::inline MOESAIC_ABI {

/// Bytes of scratch to search `rows` rows: tokens, or for weights experts · n.
inline std::size_t find_wrong_bytes(std::int64_t rows) {
  arena a;
  a.take<std::uint32_t>(rows);
  return a.used();
}

namespace detail {
template <class L>
constexpr std::int64_t most_weight_rows() {
  constexpr moe_config c = L::config;
  std::int64_t most = c.choices();
  std::int64_t const counts[] = {std::int64_t{c.experts} * c.inter, std::int64_t{c.experts} * c.hidden, c.shared_inter};
  for (std::int64_t const rows : counts) most = rows > most ? rows : most;
  return most;
}
}  // namespace detail

/// Bytes of scratch to search the weights of layer L.
template <class L>
std::size_t find_wrong_bytes() {
  return find_wrong_bytes(detail::most_weight_rows<L>());
}

namespace detail {

template <backend B, class Searched>
status find_first(B const& ctx, Searched const& in, memory scratch, finding* out, char const* argument, char const* member) {
  if (status const s = check::first_error(
          check::at_most(argument, member, in.rows(), 0x7fffffff), check::at_most(argument, member, in.columns(), 0x7fffffff),
          check::caller_memory("scratch", scratch, find_wrong_bytes(in.rows())), check::not_null("out", "", out == nullptr));
      !s)
    return s;
  if (in.rows() == 0 || in.columns() == 0) return {};
  auto* const first_column = static_cast<std::uint32_t*>(scratch.data);
  if (status const s = ctx.launch(in.rows(), search_row<Searched>{in, first_column, out}); !s) return s;
  return ctx.launch(1, report_first_row<Searched>{in, first_column, out});
}

}  // namespace detail

/// ids outside [−1, experts) (experts: all choices, E+Z), an expert twice for one token, then weights that are NaN or infinite (of slots
/// that have an expert). An engine that means other ids by "not here" than −1 is right too, but not what this call expects.
template <backend B>
status find_wrong(B const& ctx, topk_choice choice, int experts, memory scratch, finding* out, char const* name = "choice") {
  if (status const s = check::first_error(check::at_most(name, "top_k", choice.top_k, 0x7fffffff),
                                          check::slots(name, "tokens", choice.tokens, choice.top_k),
                                          check::choice(name, choice, choice.tokens, choice.top_k));
      !s)
    return s;
  if (status const s = detail::find_first(ctx, searched_ids{choice, experts, name}, scratch, out, name, "ids"); !s) return s;
  return detail::find_first(ctx, searched_choice_weights{choice, experts, name}, scratch, out, name, "weights");
}

/// NaN or infinite values of x, logits, partials, y … of f32, bf16 or fp16.
template <backend B, class X>
status find_wrong(B const& ctx, matrix_view<X> x, memory scratch, finding* out, char const* name = "x") {
  using element = std::remove_const_t<X>;
  if (status const s = check::matrix(name, x, x.rows, x.cols); !s) return s;
  return detail::find_first(ctx, searched_matrix<element>{x, name}, scratch, out, name, "rows");
}

/// NaN codes, then NaN or infinite scales, of quantised rows.
template <backend B, class Scale>
status find_wrong(B const& ctx, quantized_rows<Scale> x, memory scratch, finding* out, char const* name = "x") {
  if (status const s = check::quantized(name, x, x.rows, x.cols); !s) return s;
  if (status const s = detail::find_first(ctx, searched_codes<Scale>{x, name}, scratch, out, name, "rows"); !s) return s;
  return detail::find_first(ctx, searched_row_scales<Scale>{x, name}, scratch, out, name, "scales");
}

/// NaN codes (E4M3) or NaN or infinite elements (bf16, f32) of weights as a loader hands them over, then such scales.
template <backend B, weight_format F>
status find_wrong(B const& ctx, weight_matrices<F> const& w, memory scratch, finding* out, char const* name = "weights") {
  if (status const s = check::weights(name, w, w.experts, w.n, w.k); !s) return s;
  if (status const s = detail::find_first(ctx, searched_weights<F>{w, name}, scratch, out, name, "n"); !s) return s;
  if constexpr (F == weight_format::e4m3_128x128) {
    searched_weight_scales const scales{w.scales, w.experts, ceil_div(w.n, scale_block), ceil_div(w.k, scale_block), name};
    return detail::find_first(ctx, scales, scratch, out, name, "scales");
  } else {
    return {};
  }
}

/// All weights and biases of a layer. Scratch: find_wrong_bytes<L>().
template <backend B, class L>
status find_wrong(B const& ctx, layer_weights<L> const& w, memory scratch, finding* out) {
  prepared_weights<B, L> none;  // the walks below pass each member's prepared twin, which nobody reads here
  if (status const s = detail::for_each_matrix<L>(
          w, none, [&](char const* name, auto const& m, auto const&, auto const&) { return find_wrong(ctx, m, scratch, out, name); });
      !s)
    return s;
  return detail::for_each_bias<L>(w, none, [&](char const* name, bool has, auto const& b, int rows, int cols, float const*) {
    if (!has) return status{};
    if (status const s = check::biases("weights", name, b, rows); !s) return s;
    return detail::find_first(ctx, searched_biases{b, rows, cols, name}, scratch, out, "weights", name);
  });
}

/// A finding as one readable line: "weights.gate[5][17, 300] is the code 127, a NaN".
constexpr status_text describe(finding const& f) {
  status_text out;
  if (f.what == wrong::nothing) return out.put("nothing is wrong");
  auto name = [&]() -> status_text& {
    out.put(f.argument);
    return f.member[0] != '\0' ? out.put(".").put(f.member) : out;
  };
  name();
  if (f.expert >= 0) out.put("[").put(f.expert).put("]");
  out.put("[").put(f.row).put(", ").put(f.column).put("] is ");
  switch (f.what) {
    case wrong::nothing: break;
    case wrong::id: out.put(f.value).put(", expected -1 to ").put(f.experts - 1); break;
    case wrong::repeated_id:
      out.put(f.value).put(", and so is ");
      name().put("[").put(f.row).put(", ").put(f.first_column).put("]");
      break;
    case wrong::not_finite: {
      float const value = from_bits(static_cast<std::uint32_t>(f.value));
      out.put(is_nan(value) ? "NaN" : value < 0 ? "-infinity" : "infinity");
      break;
    }
    case wrong::nan_code: out.put("the code ").put(f.value).put(", a NaN"); break;
  }
  return out;
}

}  // namespace moesaic::inline MOESAIC_ABI
