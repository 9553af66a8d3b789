// The router GEMM on Hopper: near float64, the same bits from every tile and for a row in any batch; what TMA cannot read runs on the
// portable kernels. After conformance/gemm.hpp.
#pragma once

#include <conformance/gemm.hpp>
#include <moesaic/cuda/gemm/portable.hpp>
#include <moesaic/cuda/gemm/sm90/router_gemm.hpp>

namespace conformance {

struct router_case {
  static constexpr std::int64_t experts = 72, most = 130;
  std::int64_t columns, stride;
  oracle::random random;
  stored_weights<moesaic::weight_format::bf16> weights;
  buffer<bf16> x;

  router_case(std::int64_t k, std::int64_t row)
      : columns(k), stride(row), random(random_for(13, static_cast<std::uint64_t>(k))), weights(1, experts, k, random), x(most * row) {
    for (bf16& v : x) v = rounded<bf16>(static_cast<double>(random.normal()));
  }
  moesaic::matrix_view<bf16 const> rows(std::int64_t first, std::int64_t count) const {
    return {x.data() + first * stride, count, columns, stride};
  }
  gemm_output run(stamp::context_type const& ctx, std::int64_t first, std::int64_t count) {
    gemm_output out(count, experts);
    need(ctx.grouped_gemm(moesaic::gemm_input{rows(first, count)}, prepared_router(ctx), nullptr, out.view()));
    stamp::finish();
    return out;
  }
  template <class Tile>
  void expect_bits_of(gemm_output const& all, std::int64_t first, std::int64_t count) {
    gemm_output const out(count, experts);
    need(moesaic::cuda::sm90::launch_router_gemm<Tile>(nullptr, rows(first, count), weights.by_stride().codes.base, columns, out.view()));
    stamp::finish();
    expect_rows(out, all, first, "a tile");
  }
  void expect_rows(gemm_output const& out, gemm_output const& all, std::int64_t first, char const* what) const {
    for (std::int64_t r = 0; r < out.rows; ++r) {
      ASSERT_TRUE(same_bits(out.row(r), all.row(first + r), experts)) << what << ", row " << r << " of " << out.rows;
      ASSERT_TRUE(out.values.is_untouched(r * out.stride + experts, out.stride - experts)) << what << ", behind row " << r;
    }
  }

 private:
  moesaic::cuda::mapped_matrices<moesaic::weight_format::bf16> router_{};
  moesaic::cuda::mapped_matrices<moesaic::weight_format::bf16> const& prepared_router(stamp::context_type const& ctx) {
    need(ctx.prepare(weights.by_stride(), {}, router_));
    return router_;
  }
};

TEST(router_gemm, is_near_float64_and_gives_the_same_bits_from_every_tile_in_any_batch) {
  using moesaic::cuda::sm90::router_tile;
  for (std::int64_t const columns : {64, 320, 2304, 7168}) {
    router_case c(columns, columns);
    stamp::context_type const ctx = stamp::context(stamp::settings[0]);
    ASSERT_TRUE(moesaic::cuda::sm90::takes_router(c.rows(0, 1), c.weights.by_stride()));
    gemm_output const all = c.run(ctx, 0, router_case::most);
    oracle::matrix const exact = c.weights.exact(0);
    error_sum sum;
    for (std::int64_t t = 0; t < router_case::most; t += 3) {
      std::vector<double> row, right(static_cast<std::size_t>(router_case::experts));
      for (std::int64_t i = 0; i < columns; ++i) row.push_back(static_cast<double>(value(c.x[t * columns + i])));
      oracle::multiply(row.data(), exact, right.data());
      for (std::int64_t e = 0; e < router_case::experts; ++e) sum.add(value(all.row(t)[e]), right[static_cast<std::size_t>(e)]);
    }
    EXPECT_LE(sum.relative(), gemm_rms_bound) << columns;
    report().error("router GEMM on wgmma, " + std::to_string(columns) + " columns, relative RMS", sum.relative());
    for (std::int64_t const count : {1, 2, 9, 64, 65, 130})
      for (std::int64_t const first : {0, 1, 50}) {
        if (first + count > router_case::most) continue;
        c.expect_rows(c.run(ctx, first, count), all, first, "the chosen tile");
        c.expect_bits_of<router_tile<64, 32>>(all, first, count);
        c.expect_bits_of<router_tile<64, 64>>(all, first, count);
        c.expect_bits_of<router_tile<128, 64>>(all, first, count);
        c.expect_bits_of<router_tile<128, 128>>(all, first, count);
        c.expect_bits_of<router_tile<128, 256>>(all, first, count);
      }
  }
}

TEST(router_gemm, leaves_what_tma_cannot_read_to_the_portable_kernels) {
  stamp::context_type const ctx = stamp::context(stamp::settings[0]);
  for (auto const& [columns, stride] : {std::pair<std::int64_t, std::int64_t>{320, 324}, {296, 296}}) {
    router_case c(columns, stride);
    ASSERT_FALSE(moesaic::cuda::sm90::takes_router(c.rows(0, 1), c.weights.by_stride()));
    gemm_output const out = c.run(ctx, 0, 70), portable(70, router_case::experts);
    need(moesaic::cuda::launch_portable_gemm(
        nullptr, 132, moesaic::cuda::gemm_arguments{moesaic::gemm_input{c.rows(0, 70)}, c.weights.by_stride(), nullptr, portable.view()}));
    stamp::finish();
    EXPECT_TRUE(same_bits(out.values, portable.values));
  }
}

}  // namespace conformance
