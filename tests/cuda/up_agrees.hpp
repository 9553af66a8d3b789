// The step up in one launch gives the bits of its stages, whichever kernel it is. After cuda/kernels_agree.hpp.
#pragma once

#include <cuda/kernels_agree.hpp>

namespace conformance {

// Gate and up weights, rows of every expert and of none, and what some families add.
template <class Case>
struct up_case : Case {
  static constexpr moesaic::weight_format format = Case::format;
  stored_weights<format> gate_weights{gemm_experts, Case::n, Case::k, this->random};
  buffer<std::int32_t> ids{all_rows};
  buffer<float> weights_of_slots{all_rows}, gate_bias{gemm_experts * Case::n}, up_bias{gemm_experts * Case::n};

  up_case() {
    for (std::int64_t r = 0; r < rows_of_experts; ++r) ids[this->slots[r]] = Case::expert_of(r);
    for (std::int64_t s = 0; s < all_rows; ++s) weights_of_slots[s] = 0.5F + static_cast<float>(s % 7) / 8;
    for (float& b : gate_bias) b = this->random.normal();
    for (float& b : up_bias) b = this->random.normal();
  }
  moesaic::expert_terms terms() const {
    return {this->slots.data(), ids.data(), weights_of_slots.data(), gate_bias.data(), up_bias.data()};
  }
};

// f(launch) for each kernel that the step up may be, on a few multiprocessors or on many.
template <int Pieces, class F>
void for_each_up_kernel(int multiprocessors, F const& f) {
  using moesaic::cuda::skinny_tile;
  f([=](auto const& g) { return moesaic::cuda::launch_panel_gemm(nullptr, multiprocessors, g); });
  f([=](auto const& g) { return moesaic::cuda::launch_skinny_gemm<skinny_tile<1, Pieces, Pieces>>(nullptr, multiprocessors, g); });
  if constexpr (Pieces == 1)
    f([=](auto const& g) { return moesaic::cuda::launch_skinny_gemm<skinny_tile<1, 4>>(nullptr, multiprocessors, g); });
  f([=](auto const& g) { return moesaic::cuda::launch_skinny_gemm<skinny_tile<2, 8 / Pieces, Pieces>>(nullptr, multiprocessors, g); });
}

// … and whichever tile of 128 columns ends last quantises them. `plain`: the hidden rows. All kernels count in
// the same words, zeroed for each, and in none behind them.
template <class Scale, class Arguments, class Into>
void expect_bits_of_quantize(stamp::context_type const& ctx, int multiprocessors, gemm_output const& plain, std::int32_t const* row_count,
                             Into const& into) {
  namespace cuda = moesaic::cuda;
  std::int64_t const n = plain.view().cols;
  quantized_buffers<Scale> const right(all_rows, n);
  need(ctx.launch(all_rows * moesaic::ceil_div(n, 128), moesaic::quantize_rows<float, Scale>{plain.view(), right.view(), row_count}));
  auto const counters = static_cast<std::int64_t>(cuda::counter_bytes(all_rows, gemm_experts, n) / 4);
  buffer<std::uint32_t> const done(counters + 1);
  for_each_up_kernel<Arguments::pieces>(multiprocessors, [&](auto const& launch) {
    gemm_output const way(all_rows, n);
    quantized_buffers<Scale> const out(all_rows, n);
    need(ctx.clear({done.data(), static_cast<std::size_t>(counters) * 4}));
    need(launch(cuda::quantizing_up<Arguments, Scale>{into(way), out.view(), done.data()}));
    stamp::finish();
    EXPECT_TRUE(same_bits(right.codes, out.codes));
    EXPECT_TRUE(same_bits(right.scales, out.scales));
    EXPECT_TRUE(done.is_untouched(counters));
  });
}

template <moesaic::activation_format Format, class Case, moesaic::activation_fn A, class Terms>
void expect_bits_of_stages(Case& c, bool gathered, moesaic::activation_rule<A, Terms> const& rule) {
  namespace cuda = moesaic::cuda;
  stamp::context_type const ctx = stamp::context(stamp::settings[0]);
  prepared<Case::format> const gate(ctx, c.gate_weights.by_stride()), up(ctx, c.stored(false));
  auto const input = c.input(gathered);
  using rows = std::remove_cvref_t<decltype(input.rows)>;

  gemm_output const gates(all_rows, c.n), right(all_rows, c.n), ups(all_rows, c.n);
  auto const multiply = [&](moesaic::weight_matrices<Case::format> const& w, gemm_output const& out) {  // not by wgmma
    need(cuda::launch_portable_gemm(nullptr, 500, cuda::gemm_arguments<rows, Case::format>{input, w, c.offsets.data(), out.view()}));
  };
  multiply(gate.weights, gates);
  multiply(up.weights, ups);
  std::int32_t const* const row_count = c.offsets.data() + gemm_experts;
  need(moesaic::activation<Format>(ctx, gates.view(), ups.view(), right.view(), row_count, rule));
  stamp::finish();
  ASSERT_FALSE(right.values.is_untouched(0));

  using arguments = cuda::up_arguments<Format, rows, Case::format, A, Terms>;
  auto const into = [&](gemm_output const& out) { return arguments{input, gate.weights, up.weights, c.offsets.data(), out.view(), rule}; };
  int const multiprocessors = gathered ? 2 : 500;
  for_each_up_kernel<arguments::pieces>(multiprocessors, [&](auto const& launch) {
    gemm_output const out(all_rows, c.n);
    need(launch(into(out)));
    stamp::finish();
    EXPECT_TRUE(same_bits(right.values, out.values));
  });
  if constexpr (Format == moesaic::activation_format::f32) {
    expect_bits_of_quantize<float, arguments>(ctx, multiprocessors, right, row_count, into);
    expect_bits_of_quantize<std::uint8_t, arguments>(ctx, multiprocessors, right, row_count, into);
  }
}

template <class Case>
void expect_up_in_one_launch() {
  using moesaic::activation_fn, moesaic::activation_format, moesaic::activation_rule, moesaic::expert_terms, moesaic::no_terms;
  SCOPED_TRACE(Case::name());
  up_case<Case> c;
  for (bool const gathered : {false, true}) {
    expect_bits_of_stages<activation_format::f32>(c, gathered, activation_rule<activation_fn::swiglu, no_terms>{});
    expect_bits_of_stages<activation_format::bf16>(c, gathered, activation_rule<activation_fn::swiglu_oai, expert_terms>{7.0F, c.terms()});
    expect_bits_of_stages<activation_format::fp16>(c, gathered, activation_rule<activation_fn::relu2, no_terms>{});
    expect_bits_of_stages<activation_format::f32>(c, gathered, activation_rule<activation_fn::relu2, expert_terms>{0.0F, c.terms()});
  }
}

// Widths that end in the middle of a tile and in the middle of what is loaded at once, and one of whole tiles.
TEST(up_kernels, give_the_bits_of_their_stages) {
  using enum moesaic::weight_format;
  expect_up_in_one_launch<gemm_case<e4m3_128x128, rows_format::f32, 136, 200>>();
  expect_up_in_one_launch<gemm_case<moesaic::weight_format::bf16, rows_format::f32, 96, 40>>();
  expect_up_in_one_launch<gemm_case<e4m3_128x128, rows_format::e4m3, 128, 384>>();
  expect_up_in_one_launch<gemm_case<e4m3_128x128, rows_format::e4m3_ue8m0, 328, 128>>();
}

}  // namespace conformance
