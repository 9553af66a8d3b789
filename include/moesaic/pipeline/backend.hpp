// What a backend is: a context that can run a row-wise stage, keep weights in its own layout, and multiply groups of rows.
#pragma once

#include <cstddef>
#include <cstdint>

#include <moesaic/core/same_as.hpp>
#include <moesaic/core/status.hpp>
#include <moesaic/semantics/gemm.hpp>
#include <moesaic/semantics/group.hpp>

namespace moesaic::inline MOESAIC_ABI {

namespace detail {
struct any_stage {
  struct scratch {};
  template <group G>
  MOESAIC_HD void operator()(G const&, std::int64_t, scratch&) const {}
};
}  // namespace detail

/// B is a cheap, copyable context (a stream, a pool, nothing at all).
///  launch(n, f)            runs f(group, i, scratch) for each i in [0, n), in any order; f::scratch is the group's shared memory
///  prepared_matrices<F>    weights in the layout that its GEMM reads
///  prepared_bytes(w)       how much of the caller's memory that layout takes
///  prepare(w, memory, p)   fills it
///  grouped_gemm(a, p, expert_offsets, out)   out.row(r) = a.row(source of r) · W_eᵀ for the rows r of each expert e
/// Arguments arrive checked. None of these allocates or waits.
template <class B>
concept backend = requires(B const& b, detail::any_stage f, weight_matrices<weight_format::bf16> const& w,
                           typename B::template prepared_matrices<weight_format::bf16>& p, gemm_input<f32_rows> const& a, memory m,
                           std::int32_t const* offsets, matrix_view<float> out) {
  { b.launch(std::int64_t{1}, f) } -> detail::same_as<status>;
  { b.prepared_bytes(w) } -> detail::same_as<std::size_t>;
  { b.prepare(w, m, p) } -> detail::same_as<status>;
  { b.grouped_gemm(a, p, offsets, out) } -> detail::same_as<status>;
};

/// Whether B's grouped_gemm also reads rows of X as they are, a gemm_input<matrix_view<X const>>, as near to float64 as the same rows
/// widened to f32; it says so by a member reads_rows_of<X>. The router's input then needs no copy in f32.
template <class B, class X>
concept reads_rows_of = detail::same_as<X, float> || requires {
  requires B::template reads_rows_of<X>;
};

}  // namespace moesaic::inline MOESAIC_ABI
