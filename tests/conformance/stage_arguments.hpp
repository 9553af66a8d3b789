// Wrong arguments of single stages: as in arguments.hpp.
#pragma once

#include "arguments.hpp"
#include "map.hpp"

namespace conformance {

// 8 tokens with 4 of 16 experts each. Every stage takes some of these.
struct stage_call {
  using layer = forward_case<layers::deepseek_like>::layer;
  static constexpr int tokens = 8, experts = 16, top_k = 4, slots = tokens * top_k;

  moesaic::matrix_view<float const> x, up;
  moesaic::matrix_view<float> out;
  moesaic::quantized_rows<float> q, q_out;
  float const* bias;
  moesaic::topk_choice choice;
  moesaic::dispatch_map map;
  moesaic::matrix_view<float const> shared, residual;
  std::int32_t const* offsets;
};

// Buffers for all of them. What a stage reads is filled, what it writes is not.
template <class Call>
struct stage_arguments {
  static constexpr int tokens = Call::tokens, top_k = Call::top_k, slots = Call::slots, experts = Call::experts;
  std::int64_t cols;
  buffer<float> x, up, out, bias, q_scales, q_out_scales;
  buffer<std::uint8_t> q_codes, q_out_codes;
  buffer<float> weights;
  buffer<std::int32_t> ids;
  map_buffers map;

  stage_arguments(std::int64_t n, bool map_is_made, bool choice_is_made)
      : cols(n),
        x(slots * n),
        up(slots * n),
        out(slots * n),
        bias(experts),
        q_scales(slots * n),
        q_out_scales(slots * n),
        q_codes(slots * n),
        q_out_codes(slots * n),
        weights(slots),
        ids(slots),
        map(slots, experts) {
    for (buffer<float>* const b : {&x, &up, &bias, &q_scales}) std::fill(b->begin(), b->end(), 1.0F);
    std::fill(q_codes.begin(), q_codes.end(), std::uint8_t{56});
    if (choice_is_made) {
      std::fill(weights.begin(), weights.end(), 0.5F);
      for (std::int32_t i = 0; i < slots; ++i) ids[i] = i % experts;
    }
    if (map_is_made) {
      oracle::dispatch const d = oracle::sort_slots(std::vector<std::int32_t>(ids.begin(), ids.end()), experts);
      std::copy(d.expert_offsets.begin(), d.expert_offsets.end(), map.expert_offsets.begin());
      std::copy(d.row_to_slot.begin(), d.row_to_slot.end(), map.row_to_slot.begin());
      std::copy(d.slot_to_row.begin(), d.slot_to_row.end(), map.slot_to_row.begin());
    }
  }
  Call call(std::int64_t rows_in, std::int64_t rows_out) const {
    Call c;
    c.x = {x.data(), rows_in, cols};
    c.up = {up.data(), rows_in, cols};
    c.out = {out.data(), rows_out, cols};
    c.q = {q_codes.data(), q_scales.data(), rows_in, cols};
    c.q_out = {q_out_codes.data(), q_out_scales.data(), rows_out, cols};
    c.bias = bias.data();
    c.choice = {ids.data(), weights.data(), tokens, top_k};
    c.map = map.view(tokens, top_k);
    c.shared = c.residual = {up.data(), tokens, cols};
    c.offsets = map.expert_offsets.data();
    return c;
  }
  bool untouched() const { return all_untouched(out) && all_untouched(q_out_codes) && all_untouched(q_out_scales); }
};

struct route_from_logits_call : stage_call {
  moesaic::status operator()() const { return moesaic::route_from_logits<layer>(any_context(), x, bias, choice); }
};
TEST(route, from_logits_names_a_wrong_argument) {
  using call = route_from_logits_call;
  stage_arguments<call> const a(call::experts, false, false);
  expect_named<call>(a.call(8, 8), [&] { return all_untouched(a.ids) && all_untouched(a.weights); },
                     {
                         {[](call& f) { f.x.data = nullptr; }, "logits.data is null"},
                         {[](call& f) { f.x.cols = 15; }, "logits.cols is 15, expected 16"},
                         {[](call& f) { f.x.stride = 15; }, "logits.stride is 15, expected 16"},
                         {[](call& f) { f.x.rows = -1; }, "logits.rows is -1, expected 0 to 536870911"},
                         {[](call& f) { f.bias = nullptr; }, "bias is null"},
                         {[](call& f) { f.choice.tokens = 7; }, "out.tokens is 7, expected 8"},
                         {[](call& f) { f.choice.top_k = 5; }, "out.top_k is 5, expected 4"},
                         {[](call& f) { f.choice.ids = nullptr; }, "out.ids is null"},
                         {[](call& f) { f.choice.weights = nullptr; }, "out.weights is null"},
                     });
}

struct dispatch_map_call : stage_call {
  moesaic::status operator()() const { return moesaic::make_dispatch_map(any_context(), choice, map); }
};
TEST(dispatch_map, names_a_wrong_argument) {
  using call = dispatch_map_call;
  stage_arguments<call> const a(8, false, true);
  expect_named<call>(
      a.call(8, 8),
      [&] { return all_untouched(a.map.expert_offsets) && all_untouched(a.map.row_to_slot) && all_untouched(a.map.slot_to_row); },
      {
          {[](call& f) { f.choice.ids = nullptr; }, "choice.ids is null"},
          {[](call& f) { f.choice.tokens = -8; }, "choice.tokens is -8, expected 0 to 536870911"},
          {[](call& f) { f.choice.tokens = 1LL << 29; }, "choice.tokens is 536870912, expected 0 to 536870911"},
          {[](call& f) { f.choice.top_k = -1; }, "choice.top_k is -1, expected 0 to 2147483647"},
          {[](call& f) { f.map.tokens = 9; }, "map.tokens is 9, expected 8"},
          {[](call& f) { f.map.top_k = 1; }, "map.top_k is 1, expected 4"},
          {[](call& f) { f.map.experts = -1; }, "map.experts is -1, expected 0 to 2147483647"},
          {[](call& f) { f.map.expert_offsets = nullptr; }, "map.expert_offsets is null"},
          {[](call& f) { f.map.row_to_slot = nullptr; }, "map.row_to_slot is null"},
          {[](call& f) { f.map.slot_to_row = nullptr; }, "map.slot_to_row is null"},
      });
}

struct permute_call : stage_call {
  moesaic::status operator()() const { return moesaic::permute(any_context(), x, map, out); }
};
struct permute_quantized_call : stage_call {
  moesaic::status operator()() const { return moesaic::permute(any_context(), q, map, q_out); }
};
TEST(permute, names_a_wrong_argument) {
  using call = permute_call;
  stage_arguments<call> const a(40, true, true);
  auto const untouched = [&] { return a.untouched(); };
  expect_named<call>(a.call(8, 32), untouched,
                     {
                         {[](call& f) { f.map.tokens = 7; }, "map.tokens is 7, expected 8"},
                         {[](call& f) { f.map.row_to_slot = nullptr; }, "map.row_to_slot is null"},
                         {[](call& f) { f.x.data = nullptr; }, "x.data is null"},
                         {[](call& f) { f.x.data = moved(f.x.data, 3); }, "x.data is 12, expected a multiple of 16 bytes"},
                         {[](call& f) { f.x.stride = 42; }, "x.stride is 8, expected a multiple of 16 bytes"},
                         {[](call& f) { f.out.data = nullptr; }, "out.data is null"},
                         {[](call& f) { f.out.data = moved(f.out.data); }, "out.data is 4, expected a multiple of 16 bytes"},
                         {[](call& f) { f.out.rows = 31; }, "out.rows is 31, expected 32"},
                         {[](call& f) { f.out.cols = 8; }, "out.cols is 8, expected 40"},
                     });
  using quantized = permute_quantized_call;
  stage_arguments<quantized> const b(40, true, true);
  expect_named<quantized>(b.call(8, 32), [&] { return b.untouched(); },
                          {
                              {[](quantized& f) { f.q.codes = nullptr; }, "x.codes is null"},
                              {[](quantized& f) { f.q.scales = nullptr; }, "x.scales is null"},
                              {[](quantized& f) { f.q.scale_stride = 4; }, "x.rows is 8, expected 0 to 4"},
                              {[](quantized& f) { f.q_out.rows = 8; }, "out.rows is 8, expected 32"},
                              {[](quantized& f) { f.q_out.cols = 41; }, "out.cols is 41, expected 40"},
                              {[](quantized& f) { f.q_out.codes = nullptr; }, "out.codes is null"},
                              {[](quantized& f) { f.q_out.scales = nullptr; }, "out.scales is null"},
                          });
}

struct quantize_call : stage_call {
  moesaic::status operator()() const { return moesaic::quantize(any_context(), x, q_out); }
};
TEST(quantize, names_a_wrong_argument) {
  using call = quantize_call;
  stage_arguments<call> const a(40, false, false);
  expect_named<call>(a.call(8, 8), [&] { return a.untouched(); },
                     {
                         {[](call& f) { f.x.data = nullptr; }, "x.data is null"},
                         {[](call& f) { f.x.data = moved(f.x.data, 2); }, "x.data is 8, expected a multiple of 16 bytes"},
                         {[](call& f) { f.x.rows = f.q_out.rows = -4; }, "out.rows is -4, expected 0 to 8"},
                         {[](call& f) { f.q_out.rows = 7; }, "out.rows is 7, expected 8"},
                         {[](call& f) { f.q_out.cols = 48; }, "out.cols is 48, expected 40"},
                         {[](call& f) { f.q_out.codes = nullptr; }, "out.codes is null"},
                         {[](call& f) { f.q_out.scales = nullptr; }, "out.scales is null"},
                     });
}

struct activation_call : stage_call {
  moesaic::status operator()() const { return moesaic::activation(any_context(), x, up, out); }
};
struct activation_quantized_call : stage_call {
  moesaic::status operator()() const { return moesaic::activation(any_context(), x, up, q_out); }
};
TEST(activation, names_a_wrong_argument) {
  using call = activation_call;
  stage_arguments<call> const a(40, false, false);
  expect_named<call>(a.call(8, 8), [&] { return a.untouched(); },
                     {
                         {[](call& f) { f.x.data = nullptr; }, "gate.data is null"},
                         {[](call& f) { f.x.stride = 39; }, "gate.stride is 39, expected 40"},
                         {[](call& f) { f.up.data = nullptr; }, "up.data is null"},
                         {[](call& f) { f.up.rows = 9; }, "up.rows is 9, expected 8"},
                         {[](call& f) { f.out.data = nullptr; }, "out.data is null"},
                         {[](call& f) { f.out.cols = 39; }, "out.cols is 39, expected 40"},
                     });
  using quantized = activation_quantized_call;
  stage_arguments<quantized> const b(40, false, false);
  expect_named<quantized>(b.call(8, 8), [&] { return b.untouched(); },
                          {
                              {[](quantized& f) { f.up.cols = 8; }, "up.cols is 8, expected 40"},
                              {[](quantized& f) { f.q_out.rows = 4; }, "out.rows is 4, expected 8"},
                              {[](quantized& f) { f.q_out.codes = nullptr; }, "out.codes is null"},
                          });
}

struct unpermute_call : stage_call {
  moesaic::status operator()() const { return moesaic::unpermute(any_context(), x, map, choice, out, shared, residual); }
};
TEST(unpermute, names_a_wrong_argument_and_leaves_y_alone) {
  using call = unpermute_call;
  stage_arguments<call> const a(40, true, true);
  expect_named<call>(a.call(32, 8), [&] { return a.untouched(); },
                     {
                         {[](call& f) { f.out.data = nullptr; }, "y.data is null"},
                         {[](call& f) { f.out.data = moved(f.out.data); }, "y.data is 4, expected a multiple of 16 bytes"},
                         {[](call& f) { f.map.tokens = 7; }, "map.tokens is 7, expected 8"},
                         {[](call& f) { f.map.slot_to_row = nullptr; }, "map.slot_to_row is null"},
                         {[](call& f) { f.choice.tokens = 7; }, "choice.tokens is 7, expected 8"},
                         {[](call& f) { f.choice.top_k = 2; }, "choice.top_k is 2, expected 4"},
                         {[](call& f) { f.choice.weights = nullptr; }, "choice.weights is null"},
                         {[](call& f) { f.x.data = nullptr; }, "partials.data is null"},
                         {[](call& f) { f.x.rows = 31; }, "partials.rows is 31, expected 32"},
                         {[](call& f) { f.x.cols = 32; }, "partials.cols is 32, expected 40"},
                         {[](call& f) { f.shared.rows = 7; }, "shared.rows is 7, expected 8"},
                         {[](call& f) { f.shared.data = moved(f.shared.data); }, "shared.data is 4, expected a multiple of 16 bytes"},
                         {[](call& f) { f.residual.cols = 39; }, "residual.cols is 39, expected 40"},
                         {[](call& f) { f.residual.stride = 8; }, "residual.stride is 8, expected 40"},
                     });
}

struct gemm_call {
  moesaic::gemm_input<moesaic::f32_rows> a;
  stamp::context_type::prepared_matrices<moesaic::weight_format::bf16> const* w;
  std::int32_t const* offsets;
  moesaic::matrix_view<float> out;
  moesaic::status operator()() const { return moesaic::grouped_gemm(any_context(), a, *w, offsets, out); }
};
TEST(gemm, names_a_wrong_argument_and_leaves_out_alone) {
  oracle::random r = random_for(11);
  stored_weights<moesaic::weight_format::bf16> const stored(2, 24, 40, r);
  prepared<moesaic::weight_format::bf16> const w(any_context(), stored.by_stride());
  buffer<float> const rows(5 * 40), out(5 * 24);
  std::fill(rows.begin(), rows.end(), 1.0F);
  buffer<std::int32_t> const offsets(std::vector<std::int32_t>{0, 2, 5}), slots(std::vector<std::int32_t>{4, 3, 2, 1, 0});
  gemm_call const right{{{rows.data(), 5, 40}}, &w.weights, offsets.data(), {out.data(), 5, 24}};
  using call = gemm_call;
  expect_named<call>(right, [&] { return all_untouched(out); },
                     {
                         {[](call& f) { f.a.rows.data = nullptr; }, "a.rows.data is null"},
                         {[](call& f) { f.a.rows.data = moved(f.a.rows.data); }, "a.rows.data is 4, expected a multiple of 16 bytes"},
                         {[](call& f) { f.a.rows.cols = 32; }, "a.rows.cols is 32, expected 40"},
                         {[](call& f) { f.a.rows.rows = 4; }, "a.rows is 4, expected 5"},
                         {[](call& f) { f.a.top_k = -1; }, "a.top_k is -1, expected 0 to 2147483647"},
                         {[](call& f) { f.offsets = nullptr; }, "expert_offsets is null"},
                         {[](call& f) { f.out.data = nullptr; }, "out.data is null"},
                         {[](call& f) { f.out.cols = 40; }, "out.cols is 40, expected 24"},
                         {[](call& f) { f.out.stride = 23; }, "out.stride is 23, expected 24"},
                     });
}

}  // namespace conformance
