// Hopper's grouped GEMM: which tile multiplies does not show in the bits, nor does it whether the activation is fused. After
// conformance/gemm.hpp.
#pragma once

#include <conformance/gemm.hpp>
#include <moesaic/cuda/gemm/sm90/grouped_gemm.hpp>
#include <moesaic/reference/on.hpp>
#include <optional>

namespace conformance {

namespace sm90 = moesaic::cuda::sm90;

// Rows of five experts, behind `shared` rows of one that has the weights of the last.
template <std::int64_t N, std::int64_t K>
struct hopper_case {
  using operand = gemm_case<moesaic::weight_format::e4m3_128x128, rows_format::e4m3, N, K>;
  operand c;
  stored_weights<moesaic::weight_format::e4m3_128x128> gate{gemm_experts, N, K, c.random};
  prepared<moesaic::weight_format::e4m3_128x128> prepared_gate{stamp::context(stamp::settings[0]), gate.by_stride()},
      prepared_up{stamp::context(stamp::settings[0]), c.weights.by_stride()}, last_gate{stamp::context(stamp::settings[0]), last(gate)},
      last_up{stamp::context(stamp::settings[0]), last(c.weights)};

  static auto last(stored_weights<moesaic::weight_format::e4m3_128x128> const& all) {
    auto w = all.by_stride();
    w.codes.base += (gemm_experts - 1) * w.codes.stride;
    w.scales.base += (gemm_experts - 1) * w.scales.stride;
    w.experts = 1;
    return w;
  }

  // Rows that the GEMM gathers by c.slots, and what they are once they are gathered.
  std::optional<quantized_buffers<float>> gathered{};
  std::int64_t token(std::int64_t row, std::int32_t shared) const { return row < shared ? row : c.slots[row - shared] / gemm_top_k; }
  void gather(std::int32_t shared) {
    moesaic::quantized_rows<float> const from = c.rows.quantized.view();
    gathered.emplace(all_rows, K);
    for (std::int64_t r = 0; r < rows_of_experts + shared; ++r) {
      std::memcpy(&gathered->codes[r * K], from.codes + token(r, shared) * K, static_cast<std::size_t>(K));
      for (std::int64_t b = 0; b < K / 128; ++b) gathered->view().scale(b, r) = from.scale(b, token(r, shared));
    }
  }

  template <class Tile, class Rows = sm90::row_operand, class Epilogue>
  void run(Epilogue const& epilogue, std::int32_t shared, bool early, bool of_gate = false) {
    sm90::gemm_arguments<Epilogue, Rows> a{};
    if constexpr (std::is_same_v<Rows, sm90::gathered_rows>) {
      auto const x = c.rows.quantized.view();
      a.x = {x.codes, x.scales, x.cols, x.scale_stride, c.slots.data(), gemm_top_k, shared};
    } else {
      need(sm90::make_row_operand(gathered ? gathered->view() : c.rows.quantized.view(), Tile::rows, Tile::scale_rows, a.x));
    }
    for (int i = 0; i < Epilogue::matrices; ++i) {
      bool const is_gate = of_gate || i + 1 < Epilogue::matrices;
      a.w[i] = (is_gate ? prepared_gate : prepared_up).weights.operand;
      a.shared[i] = (is_gate ? last_gate : last_up).weights.operand;
    }
    a.tiles = {c.offsets.data(), static_cast<std::int32_t>(all_rows), shared, gemm_experts,
               static_cast<int>(N / (Epilogue::matrices == 2 ? 128 : Tile::columns))};
    a.k_blocks = static_cast<int>(K / 128);
    a.reads_early = early;
    a.epilogue = epilogue;
    if constexpr (requires { Tile::pieces; })
      need(sm90::launch_row_gemm<Tile>(nullptr, a));
    else
      need(sm90::launch_weight_gemm<Tile>(nullptr, a));
    stamp::finish();
  }
  template <class Tile, class Rows = sm90::row_operand>
  gemm_output sums(std::int32_t shared, bool early = false, bool of_gate = false) {
    gemm_output out(all_rows, N);
    run<Tile, Rows>(sm90::store_f32{out.view().data, out.stride}, shared, early, of_gate);
    return out;
  }
};

// f(tile, whether it reads offsets early) for each decode tile of so many matrices.
template <int Matrices, class F>
void for_each_decode_tile(F const& f) {
  f(sm90::decode<8, Matrices>{}, false);
  f(sm90::decode<16, Matrices>{}, true);
  f(sm90::decode<32, Matrices>{}, false);
  f(sm90::decode<64, Matrices>{}, true);
  f(sm90::short_decode<8, Matrices>{}, true);
  f(sm90::short_decode<16, Matrices>{}, false);
  f(sm90::short_decode<32, Matrices>{}, true);
}

template <class Case>
void expect_tiles_agree() {
  Case c;
  constexpr bool wide = Case::operand::n % sm90::prefill::columns == 0;
  for (std::int32_t const shared : {0, 4}) {
    gemm_output const right = c.template sums<sm90::narrow_prefill>(shared);
    EXPECT_FALSE(right.values.is_untouched(0));
    EXPECT_EQ(right.values.is_untouched(rows_of_experts * right.stride), shared == 0);  // of nobody
    auto const expect = [&]<class Tile>(Tile, bool early) {
      EXPECT_TRUE(same_bits(right.values, c.template sums<Tile>(shared, early).values));
      buffer<moesaic::bf16> const narrow(all_rows * Case::operand::n);
      c.template run<Tile>(sm90::store_bf16{const_cast<moesaic::bf16*>(narrow.data()), Case::operand::n}, shared, early);
      for (std::int64_t r = 0; r < rows_of_experts + shared; ++r)
        for (std::int64_t n = 0; n < Case::operand::n; ++n)
          ASSERT_EQ(narrow[r * Case::operand::n + n].bits, moesaic::from_float<moesaic::bf16>(right.row(r)[n]).bits) << r << ", " << n;
      EXPECT_TRUE(narrow.is_untouched((rows_of_experts + shared) * Case::operand::n, (rows_of_nobody - shared) * Case::operand::n));
    };
    if constexpr (wide) expect(sm90::prefill{}, false);
    expect(sm90::narrow_prefill{}, true);
    for_each_decode_tile<1>(expect);
  }
}

TEST(hopper_tiles, give_the_same_bits) {
  expect_tiles_agree<hopper_case<256, 640>>();
  expect_tiles_agree<hopper_case<384, 1408>>();  // more blocks of columns than the pipeline has stages
}

// Rows that are where their tokens are: what the GEMM gathers is what it would have been given.
template <class Case>
void expect_gathered_rows_agree() {
  Case c;
  for (std::int32_t const shared : {0, 4}) {
    c.gather(shared);
    gemm_output const right = c.template sums<sm90::narrow_prefill>(shared);
    EXPECT_FALSE(right.values.is_untouched(0));
    auto const expect = [&]<class Tile>(Tile, bool early) {
      EXPECT_TRUE(same_bits(right.values, c.template sums<Tile, sm90::gathered_rows>(shared, early).values));
    };
    expect(sm90::gathering<sm90::prefill>{}, false);
    expect(sm90::gathering<sm90::narrow_prefill>{}, true);
    for_each_decode_tile<1>(expect);
  }
}

TEST(hopper_tiles, gather_the_rows_that_they_would_be_given) { expect_gathered_rows_agree<hopper_case<256, 1408>>(); }

template <class Scale, moesaic::activation_fn A, class Case, class Terms>
void expect_fused_bits(Case& c, moesaic::activation_rule<A, Terms> const& rule) {
  constexpr std::int64_t n = Case::operand::n;
  for (std::int32_t const shared : {0, 4}) {
    if (shared > 0 && !std::is_same_v<Terms, moesaic::no_terms>) continue;  // no layer has both
    std::int64_t const rows = rows_of_experts + shared;
    gemm_output const ups = c.template sums<sm90::narrow_prefill>(shared);
    gemm_output const gates = c.template sums<sm90::narrow_prefill>(shared, false, true);
    quantized_buffers<Scale> right(all_rows, n);
    need(moesaic::reference::on{}.launch(
        rows * (n / 128), moesaic::activate_quantize_rows<Scale, A, Terms>{gates.view(), ups.view(), nullptr, right.view(), rule}));
    auto const expect = [&]<class Tile>(Tile, bool early) {
      quantized_buffers<Scale> fused(all_rows, n);
      c.template run<Tile>(sm90::activate_quantize<Scale, A, Terms, false>{fused.view(), rule}, shared, early);
      for (std::int64_t r = 0; r < rows; ++r) {
        ASSERT_EQ(std::memcmp(&fused.codes[r * n], &right.codes[r * n], static_cast<std::size_t>(n)), 0) << "row " << r;
        for (std::int64_t b = 0; b < n / 128; ++b)
          ASSERT_EQ(moesaic::to_bits(moesaic::scale_to_float(fused.view().scale(b, r))),
                    moesaic::to_bits(moesaic::scale_to_float(right.view().scale(b, r))))
              << "row " << r << ", block " << b;
      }
      EXPECT_TRUE(fused.codes.is_untouched(rows * n, (all_rows - rows) * n));
    };
    expect(sm90::prefill{}, true);
    for_each_decode_tile<2>(expect);
  }
}

TEST(hopper_tiles, give_with_the_activation_the_bits_without_it) {
  using moesaic::activation_fn, moesaic::activation_rule, moesaic::no_terms;
  hopper_case<128, 384> c;
  expect_fused_bits<float>(c, activation_rule<activation_fn::swiglu, no_terms>{});
  expect_fused_bits<moesaic::e8m0_as_f32>(c, activation_rule<activation_fn::swiglu, no_terms>{1.5F});
  buffer<std::int32_t> ids(all_rows);
  buffer<float> weights(all_rows), gate_bias(gemm_experts * 128), up_bias(gemm_experts * 128);
  for (std::int64_t r = 0; r < rows_of_experts; ++r) ids[c.c.slots[r]] = c.c.expert_of(r);
  for (std::int64_t s = 0; s < all_rows; ++s) weights[s] = 0.5F + static_cast<float>(s % 7) / 8;
  for (float& b : gate_bias) b = c.c.random.normal();
  for (float& b : up_bias) b = c.c.random.normal();
  moesaic::expert_terms const terms{c.c.slots.data(), ids.data(), weights.data(), gate_bias.data(), up_bias.data()};
  expect_fused_bits<float>(c, activation_rule<activation_fn::swiglu_oai, moesaic::expert_terms>{7.0F, terms});
}

}  // namespace conformance
