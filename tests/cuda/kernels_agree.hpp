// The portable grouped GEMM's kernels are a choice of speed: on the same operands they give the same bits. After conformance/gemm.hpp.
#pragma once

#include <conformance/gemm.hpp>
#include <moesaic/cuda/gemm/portable.hpp>

namespace conformance {

template <class Case, class Launch>
gemm_output run_kernel(Case& c, bool gathered, Launch const& launch) {
  gemm_output out(all_rows, c.n);
  prepared<Case::format> const w(stamp::context(stamp::settings[0]), c.stored(false));
  auto const input = c.input(gathered);
  using rows = std::remove_cvref_t<decltype(input.rows)>;
  need(launch(moesaic::cuda::gemm_arguments<rows, Case::format>{input, w.weights, c.offsets.data(), out.view()}));
  stamp::finish();
  return out;
}

TEST(gemm_kernels, give_the_same_bits) {
  for_each_gemm_case([](auto& c) {
    if constexpr (moesaic::cuda::is_one_bf16_term<std::remove_cvref_t<decltype(c)>::format>) {
      for (bool const gathered : {false, true})
        for (int const blocks : {2, 500}) {  // on so many multiprocessors
          using moesaic::cuda::skinny_tile;
          gemm_output const panel =
              run_kernel(c, gathered, [&](auto const& g) { return moesaic::cuda::launch_panel_gemm(nullptr, blocks, g); });
          EXPECT_FALSE(panel.values.is_untouched(0));
          EXPECT_TRUE(same_bits(panel.values, run_kernel(c, gathered, [&](auto const& g) {
                                                return moesaic::cuda::launch_skinny_gemm<skinny_tile<1, 1>>(nullptr, blocks, g);
                                              }).values));
          EXPECT_TRUE(same_bits(panel.values, run_kernel(c, gathered, [&](auto const& g) {
                                                return moesaic::cuda::launch_skinny_gemm<skinny_tile<1, 4>>(nullptr, blocks, g);
                                              }).values));
          EXPECT_TRUE(same_bits(panel.values, run_kernel(c, gathered, [&](auto const& g) {
                                                return moesaic::cuda::launch_skinny_gemm<skinny_tile<2, 8>>(nullptr, blocks, g);
                                              }).values));
        }
    }
  });
}

template <class F>
void for_each_portable_kernel(F const& f) {
  using moesaic::cuda::skinny_tile;
  f([](auto const& g) { return moesaic::cuda::launch_panel_gemm(nullptr, 2, g); });
  f([](auto const& g) { return moesaic::cuda::launch_skinny_gemm<skinny_tile<1, 1>>(nullptr, 500, g); });
  f([](auto const& g) { return moesaic::cuda::launch_skinny_gemm<skinny_tile<1, 4>>(nullptr, 2, g); });
  f([](auto const& g) { return moesaic::cuda::launch_skinny_gemm<skinny_tile<2, 8>>(nullptr, 2, g); });
}

// Rows of a shared expert that come first: what they and the routed ones give by themselves. Of gathered rows and of others.
template <class Case>
void expect_a_shared_expert_along() {
  SCOPED_TRACE(Case::name());
  using moesaic::cuda::gemm_arguments;
  constexpr std::int32_t tokens = 70;
  Case c;
  stored_weights<Case::format> const shared(1, Case::n, Case::k, c.random);
  buffer<std::int32_t> const offsets(gemm_experts + 1), behind(all_rows);
  for (std::int32_t i = 0; i < all_rows; ++i) behind[i] = tokens + i;
  for (int e = 0; e <= gemm_experts; ++e) offsets[e] = c.offsets[e] * 5 / 8;  // with the shared ones as many rows as there are
  std::int32_t const routed = offsets[gemm_experts];
  auto const rows = c.input(false).rows;
  using row_type = std::remove_cvref_t<decltype(rows)>;
  using arguments = gemm_arguments<row_type, Case::format>;
  auto const with = [&](auto const& launch) {
    gemm_output const first(tokens, Case::n);
    need(launch(arguments{moesaic::gemm_input{rows}, shared.by_stride(), nullptr, first.view()}));
    for (bool const gathered : {false, true}) {
      auto const slots = gathered ? moesaic::gemm_input{rows, c.slots.data(), gemm_top_k} : moesaic::gemm_input{rows, behind.data(), 1};
      gemm_output const others(routed, Case::n), all(tokens + routed, Case::n);
      need(launch(arguments{slots, c.stored(false), offsets.data(), others.view()}));
      need(launch(arguments{gathered ? slots : moesaic::gemm_input{rows}, c.stored(false), offsets.data(), all.view(), shared.by_stride(),
                            tokens}));
      stamp::finish();
      for (std::int64_t r = 0; r < tokens + routed; ++r)
        ASSERT_TRUE(same_bits(all.row(r), r < tokens ? first.row(r) : others.row(r - tokens), Case::n)) << "row " << r;
    }
  };
  if constexpr (moesaic::cuda::is_one_bf16_term<Case::format>)
    for_each_portable_kernel(with);
  else
    with([](auto const& g) { return moesaic::cuda::launch_portable_gemm(nullptr, 2, g); });
}

TEST(gemm_kernels, multiply_a_shared_expert_along) {
  using enum moesaic::weight_format;
  expect_a_shared_expert_along<gemm_case<e4m3_128x128, rows_format::f32, 136, 200>>();
  expect_a_shared_expert_along<gemm_case<e4m3_128x128, rows_format::e4m3, 128, 384>>();
  expect_a_shared_expert_along<gemm_case<moesaic::weight_format::bf16, rows_format::f32, 96, 40>>();
  expect_a_shared_expert_along<gemm_case<moesaic::weight_format::f32, rows_format::f32, 40, 96>>();
}

// Rows of codes that start anywhere and end in the middle of what is loaded at once; and a code of NaN, which belongs to its row alone.
template <rows_format R, std::int64_t N, std::int64_t K>
void expect_any_width_of_codes() {
  using Case = gemm_case<moesaic::weight_format::e4m3_128x128, R, N, K>;
  SCOPED_TRACE(Case::name());
  Case c;
  double const own = own_error<Case, stamp::context_type>();
  constexpr std::int64_t spoiled = 9;
  std::vector<gemm_output> first;
  for (bool const with_nan : {false, true}) {
    if (with_nan) c.rows.quantized.codes[spoiled * K + K - 1] = 0xFF;
    for_each_portable_kernel([&](auto const& launch) {
      gemm_output out = run_kernel(c, false, launch);
      if (with_nan) {
        for (std::int64_t r = 0; r < rows_of_experts; ++r)
          for (std::int64_t n = 0; n < N; ++n) ASSERT_EQ(std::isnan(value(out.row(r)[n])), r == spoiled) << r << ", " << n;
        return;
      }
      error_sum sum;
      for (int e = 0, row = 0; e < gemm_experts; ++e) {
        oracle::matrix const exact = c.weights.exact(e);
        std::vector<double> right(static_cast<std::size_t>(N));
        for (; row < c.offsets[e + 1]; ++row) {
          oracle::multiply(c.rows.exact(row).data(), exact, right.data());
          for (std::size_t n = 0; n < right.size(); ++n) sum.add(value(out.row(row)[n]), right[n]);
        }
      }
      EXPECT_LE(sum.relative(), gemm_rms_bound + own);
      if (first.empty())
        first.push_back(std::move(out));
      else
        EXPECT_TRUE(same_bits(first[0].values, out.values));
    });
  }
}

TEST(gemm_kernels, take_codes_of_any_width) {
  expect_any_width_of_codes<rows_format::e4m3, 40, 200>();
  expect_any_width_of_codes<rows_format::e4m3_ue8m0, 136, 141>();
}

// A router's shape: 7168 columns, all rows to one "expert", from one token to more than a panel.
TEST(gemm_kernels, give_the_same_bits_for_a_router) {
  constexpr std::int64_t columns = 7168, experts = 72, most = 130;
  oracle::random r = random_for(11);
  stored_weights<moesaic::weight_format::bf16> const weights(1, experts, columns, r);
  buffer<float> const x(most * columns), expected(most * experts), out(most * experts);
  for (float& v : x) v = static_cast<float>(value(rounded<bf16>(static_cast<double>(r.normal()))));
  x[5 * columns + 77] = 0.1F;  // one token is not bf16
  auto const arguments = [&](std::int64_t tokens, buffer<float> const& to) {
    return moesaic::cuda::gemm_arguments<moesaic::f32_rows, moesaic::weight_format::bf16>{
        moesaic::gemm_input{moesaic::f32_rows(x.data(), tokens, columns)}, weights.by_stride(), nullptr, {to.data(), tokens, experts}};
  };
  need(moesaic::cuda::launch_panel_gemm(nullptr, 132, arguments(most, expected)));
  stamp::finish();
  oracle::matrix const exact = weights.exact(0);
  error_sum sum;
  for (std::int64_t t = 0; t < most; t += 5) {
    std::vector<double> row(&x[t * columns], &x[t * columns] + columns), right(experts);
    oracle::multiply(row.data(), exact, right.data());
    for (std::int64_t e = 0; e < experts; ++e) sum.add(value(expected[t * experts + e]), right[static_cast<std::size_t>(e)]);
  }
  EXPECT_LE(sum.relative(), gemm_rms_bound);
  report().error("router GEMM, 7168 columns, relative RMS", sum.relative());
  for (std::int64_t const tokens : {1, 6, 17, 130}) {
    using moesaic::cuda::skinny_tile;
    need(moesaic::cuda::launch_skinny_gemm<skinny_tile<1, 1>>(nullptr, 132, arguments(tokens, out)));
    stamp::finish();
    EXPECT_TRUE(same_bits(out.data(), expected.data(), tokens * experts)) << tokens;
    need(moesaic::cuda::launch_skinny_gemm<skinny_tile<1, 4>>(nullptr, 132, arguments(tokens, out)));
    stamp::finish();
    EXPECT_TRUE(same_bits(out.data(), expected.data(), tokens * experts)) << tokens;
    need(moesaic::cuda::launch_skinny_gemm<skinny_tile<2, 8>>(nullptr, 132, arguments(tokens, out)));
    stamp::finish();
    EXPECT_TRUE(same_bits(out.data(), expected.data(), tokens * experts)) << tokens;
    need(moesaic::cuda::launch_panel_gemm(nullptr, 132, arguments(tokens, out)));
    stamp::finish();
    EXPECT_TRUE(same_bits(out.data(), expected.data(), tokens * experts)) << tokens;
  }
}

// Rows of x's own type, as the router reads them, give the bits of the same rows widened.
template <class X>
void expect_bits_of_widened_rows() {
  constexpr std::int64_t columns = 840, experts = 72, tokens = 70;
  oracle::random r = random_for(12);
  stored_weights<moesaic::weight_format::bf16> const weights(1, experts, columns, r);
  stored_weights<moesaic::weight_format::f32> const wide_weights(1, experts, columns, r);
  buffer<X> const x(tokens * columns);
  buffer<float> const wide(tokens * columns);
  for (std::int64_t i = 0; i < tokens * columns; ++i) {
    x[i] = rounded<X>(static_cast<double>(r.normal()));
    wide[i] = static_cast<float>(value(x[i]));
  }
  moesaic::gemm_input const narrow_input{moesaic::matrix_view<X const>(x.data(), tokens, columns)};
  moesaic::gemm_input const wide_input{moesaic::f32_rows(wide.data(), tokens, columns)};
  for (int const multiprocessors : {1, 2, 132}) {  // several kernels
    auto const expect_same = [&](auto const& matrices) {
      buffer<float> const a(tokens * experts), b(tokens * experts);
      using moesaic::cuda::gemm_arguments;
      need(moesaic::cuda::launch_portable_gemm(nullptr, multiprocessors,
                                               gemm_arguments{narrow_input, matrices, nullptr, {a.data(), tokens, experts}}));
      need(moesaic::cuda::launch_portable_gemm(nullptr, multiprocessors,
                                               gemm_arguments{wide_input, matrices, nullptr, {b.data(), tokens, experts}}));
      stamp::finish();
      EXPECT_TRUE(same_bits(a, b));
      EXPECT_FALSE(a.is_untouched(0));
    };
    expect_same(weights.by_stride());
    expect_same(wide_weights.by_stride());
  }
}

TEST(gemm_kernels, read_bf16_rows_as_widened_ones) { expect_bits_of_widened_rows<bf16>(); }
TEST(gemm_kernels, read_fp16_rows_as_widened_ones) { expect_bits_of_widened_rows<fp16>(); }

}  // namespace conformance
