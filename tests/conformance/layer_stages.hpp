// The public stages, called one after another as an engine would, give what forward gives: fusing a step changes no bit.
#pragma once

#include "forward.hpp"
#include "quantized_buffers.hpp"

namespace conformance {

template <class Model>
struct staged_layer {
  using layer = typename forward_case<Model>::layer;
  static constexpr moesaic::moe_config config = Model::config;
  static constexpr moesaic::activation_format format = layer::policy.activations;
  using scale = std::conditional_t<format == moesaic::activation_format::e4m3_1x128_ue8m0, std::uint8_t, float>;
  using input_rows = std::conditional_t<moesaic::is_quantized(format), moesaic::quantized_rows<scale>, moesaic::f32_rows>;
  using weights = typename stamp::context_type::template prepared_matrices<layer::policy.weights>;
  static constexpr std::int64_t tokens = forward_tokens, slots = tokens * config.top_k;

  stamp::context_type const& ctx;
  forward_case<Model>& c;
  buffer<float> rows{tokens * config.hidden}, partials{slots * config.hidden}, shared{tokens * config.hidden};
  quantized_buffers<scale> codes{tokens, config.hidden};
  buffer<std::int32_t> offsets{config.experts + 1}, row_to_slot{slots}, slot_to_row{slots};

  input_rows make_input(moesaic::matrix_view<typename Model::x_type const> x) {
    if constexpr (moesaic::is_quantized(format)) {
      need(moesaic::quantize(ctx, x, codes.view()));
      return codes.view();
    } else {
      for (std::int64_t t = 0; t < tokens; ++t)
        for (std::int64_t h = 0; h < config.hidden; ++h)
          rows[t * config.hidden + h] = moesaic::round_to<format>(static_cast<float>(value(x(t, h))));
      return {rows.data(), tokens, config.hidden};
    }
  }

  void mlp(moesaic::gemm_input<input_rows> const& in, weights const& gate, weights const& up, weights const& down, std::int32_t const* at,
           std::int64_t n, int inter, buffer<float> const& to) {
    buffer<float> const g(n * inter), u(n * inter);
    moesaic::matrix_view<float> const gates(g.data(), n, inter), ups(u.data(), n, inter), result(to.data(), n, config.hidden);
    need(moesaic::grouped_gemm(ctx, in, gate, at, gates));
    need(moesaic::grouped_gemm(ctx, in, up, at, ups));
    std::int32_t const* const count = at != nullptr ? at + config.experts : nullptr;
    if constexpr (moesaic::is_quantized(format)) {
      quantized_buffers<scale> const hidden(n, inter);
      need(moesaic::activation(ctx, gates, ups, hidden.view(), count));
      need(moesaic::grouped_gemm(ctx, moesaic::gemm_input{hidden.view()}, down, at, result));
      stamp::finish();
    } else {
      need(moesaic::activation<format>(ctx, gates, ups, gates, count));
      need(moesaic::grouped_gemm(ctx, moesaic::gemm_input{moesaic::f32_rows(gates)}, down, at, result));
      stamp::finish();
    }
  }

  forward_output<Model> run(prepared_forward<Model> const& w) {
    using Y = typename Model::y_type;
    moesaic::matrix_view<typename Model::x_type const> const x(c.x.data(), tokens, config.hidden, c.stride);
    forward_output<Model> const out(tokens);
    buffer<std::byte> const scratch(static_cast<std::int64_t>(moesaic::route_bytes<layer>(tokens)));
    need(moesaic::route<layer>(ctx, x, w.weights, {scratch.data(), scratch.bytes()}, out.choice()));
    moesaic::dispatch_map const map{offsets.data(), row_to_slot.data(), slot_to_row.data(), tokens, config.top_k, config.experts};
    need(moesaic::make_dispatch_map(ctx, out.choice(), map));
    input_rows const in = make_input(x);
    mlp({in, row_to_slot.data(), config.top_k}, w.weights.gate, w.weights.up, w.weights.down, offsets.data(), slots, config.inter,
        partials);
    moesaic::matrix_view<float const> shared_rows;
    if (config.shared_inter > 0) {
      mlp({in}, w.weights.shared_gate, w.weights.shared_up, w.weights.shared_down, nullptr, tokens, config.shared_inter, shared);
      shared_rows = {shared.data(), tokens, config.hidden};
    }
    moesaic::matrix_view<Y const> const residual(c.residual.data(), tokens, config.hidden, c.stride);
    need(moesaic::unpermute(ctx, moesaic::matrix_view<float const>(partials.data(), slots, config.hidden), map, out.choice(),
                            moesaic::matrix_view<Y>(out.y.data(), tokens, config.hidden, c.stride),
                            {.shared = shared_rows, .residual = Model::residual ? residual : moesaic::matrix_view<Y const>{}}));
    stamp::finish();
    return out;
  }
};

// Whether B multiplies rows of layer L in fp32, as the public grouped_gemm does on every backend; an engine that does not has other bits.
template <class B, class L>
constexpr bool multiplies_in_fp32 = true;
template <class B, class L>
requires(moesaic::detail::has_own_rows<B, L>) constexpr bool multiplies_in_fp32<B, L> =
    std::is_same_v<typename moesaic::detail::expert_rows_t<L, B>::element, float>;

TEST(forward, gives_the_bits_of_its_stages_run_one_by_one) {
  for_each_forward_case([](auto& c, auto model) {
    using Model = decltype(model);
    if constexpr (!multiplies_in_fp32<stamp::context_type, typename forward_case<Model>::layer>) return;
    for_each_setting([&](stamp::context_type const& ctx) {
      prepared_forward<Model> const w(ctx, c);
      expect_same_output(staged_layer<Model>{ctx, c}.run(w), run_forward(ctx, c, w, 0, forward_tokens), 0);
    });
  });
}

}  // namespace conformance
