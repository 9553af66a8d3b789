// The shared expert as a group of the routed experts' GEMMs gives the bits that it gives by itself, stage by stage.
#pragma once

#include <conformance/forward.hpp>

namespace conformance {

// stamp::context_type, which runs the shared expert by itself.
struct not_folding {
  template <moesaic::weight_format F>
  using prepared_matrices = stamp::context_type::template prepared_matrices<F>;
  template <class X>
  static constexpr bool reads_rows_of = stamp::context_type::reads_rows_of<X>;

  stamp::context_type ctx;

  template <moesaic::weight_format F>
  std::size_t prepared_bytes(moesaic::weight_matrices<F> const& w) const {
    return ctx.prepared_bytes(w);
  }
  template <moesaic::weight_format F>
  moesaic::status prepare(moesaic::weight_matrices<F> const& from, moesaic::memory memory, prepared_matrices<F>& to) const {
    return ctx.prepare(from, memory, to);
  }
  template <class F>
  moesaic::status launch(std::int64_t n, F const& f) const {
    return ctx.launch(n, f);
  }
  template <class Rows, class Prepared>
  moesaic::status grouped_gemm(moesaic::gemm_input<Rows> const& a, Prepared const& w, std::int32_t const* offsets,
                               moesaic::matrix_view<float> out) const {
    return ctx.grouped_gemm(a, w, offsets, out);
  }
};

TEST(folded_shared, gives_the_bits_of_stages) {
  int folded = 0;
  for_each_forward_case([&](auto& c, auto model) {
    using Model = decltype(model);
    using layer = typename forward_case<Model>::layer;
    static_assert(!moesaic::detail::folds_shared<not_folding, layer> && !moesaic::detail::fuses_up<not_folding, layer>);
    // Rows of Hopper's own are multiplied in another order.
    if constexpr (moesaic::detail::folds_shared<stamp::context_type, layer> && !moesaic::detail::has_own_rows<stamp::context_type, layer>) {
      ++folded;
      for (int const multiprocessors : {3, 200}) {  // two kernels, on fibers
        stamp::context_type const ctx = stamp::context(multiprocessors);
        not_folding const apart{ctx};
        prepared_forward<Model> const w(ctx, c);
        prepared_forward<Model, not_folding> const w_apart(apart, c);
        forward_output<Model> const together = run_forward(ctx, c, w, 0, forward_tokens);
        expect_same_output(run_forward(apart, c, w_apart, 0, forward_tokens), together, 0);
      }
    }
  });
  EXPECT_GT(folded, 0);
}

}  // namespace conformance
