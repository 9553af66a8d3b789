// docs/add_a_backend.md's backend, complete: forward on it gives the reference's bits.
#include "../cpu/tiny_layer.hpp"

namespace {

// [backend]
/// One thread that takes rows from last to first. Its GEMM decodes 128 weights of a row once for all rows of an expert.
struct backwards : moesaic::unpacked_weights {  // prepared weights are views of the checkpoint
  template <class F>
  moesaic::status launch(std::int64_t n, F const& f) const {
    typename F::scratch scratch;
    while (n-- > 0) f(moesaic::serial_group{}, n, scratch);
    return {};
  }

  template <class Rows, moesaic::weight_format F>
  moesaic::status grouped_gemm(moesaic::gemm_input<Rows> const& a, moesaic::weight_matrices<F> const& w, std::int32_t const* offsets,
                               moesaic::matrix_view<float> out) const {
    constexpr int block = moesaic::scale_block;
    for (std::int64_t i = w.experts * w.n; i-- > 0;) {
      std::int64_t const e = i / w.n, n = i % w.n;
      std::int64_t const first = offsets != nullptr ? offsets[e] : 0, last = offsets != nullptr ? offsets[e + 1] : out.rows;
      for (std::int64_t row = first; row < last; ++row) out(row, n) = 0.0F;
      for (std::int64_t b = 0; b * block < w.k; ++b) {
        int const width = static_cast<int>(w.k - b * block < block ? w.k - b * block : block);
        float weight[block];
        for (int k = 0; k < width; ++k) weight[k] = moesaic::weight_value<F>(w.row(e, n)[b * block + k]);
        for (std::int64_t row = last; row-- > first;) {
          std::int64_t const from = a.source(row);  // itself, or the token that row_to_slot says
          float sum = 0.0F;
          for (int k = 0; k < width; ++k) sum = moesaic::multiply_add(moesaic::row_value(a.rows, from, b * block + k), weight[k], sum);
          float const scale = moesaic::row_scale(a.rows, from, b) * moesaic::weight_scale(w, e, n, b);
          out(row, n) = moesaic::multiply_add(sum, scale, out(row, n));
        }
      }
    }
    return {};
  }
};
static_assert(moesaic::backend<backwards>);
// [backend]

TEST(backwards, gives_forward_the_bits_of_the_reference) {
  tiny::weights const w;
  // [use]
  EXPECT_EQ(tiny::forward_bits(backwards{}, w), tiny::forward_bits(moesaic::reference::on{}, w));
  // [use]
}

}  // namespace
