// The whole layer: near float64, the same bits for any number of threads, in any run, in any workspace, and for a token in any batch.
#pragma once

#include <moesaic/pipeline/forward.hpp>
#include <oracle/layer.hpp>
#include <oracle/route.hpp>

#include "weights.hpp"

namespace conformance {

namespace layers {

using moesaic::moe_config;
using moesaic::norm_fn;
namespace policies = moesaic::policies;

// Seven layers that differ in everything. `bound`: relative RMS error against a float64 layer that rounds the same operands in the same
// places, beyond the one rounding to y's type. It is loose where a hidden value that lies between two codes may fall to either side.
struct deepseek_like {
  static constexpr moe_config config{.hidden = 576,
                                     .inter = 192,
                                     .experts = 16,
                                     .top_k = 4,
                                     .score = moesaic::score_fn::sigmoid,
                                     .bias = true,
                                     .n_group = 4,
                                     .topk_group = 2,
                                     .norm = norm_fn::sum,
                                     .norm_eps = 1e-20F,
                                     .route_scale = 2.5F,
                                     .shared_inter = 192};
  using policy = policies::fp8_weights;
  using x_type = float;
  using y_type = float;
  static constexpr bool residual = true;
  static constexpr double bound = 4e-7;
};
struct mixtral_like {
  static constexpr moe_config config{.hidden = 320, .inter = 96, .experts = 8, .top_k = 2, .norm = norm_fn::sum};
  using policy = policies::bf16_weights;
  using x_type = moesaic::bf16;
  using y_type = moesaic::bf16;
  static constexpr bool residual = false;
  static constexpr double bound = 4e-7;
};
struct lite_like {
  static constexpr moe_config config{.hidden = 192, .inter = 320, .experts = 60, .top_k = 6, .shared_inter = 640};
  using policy = policies::f32_weights;
  using x_type = float;
  using y_type = moesaic::fp16;
  static constexpr bool residual = true;
  static constexpr double bound = 4e-7;
};
struct w8a8 {
  static constexpr moe_config config{.hidden = 576,
                                     .inter = 96,
                                     .experts = 32,
                                     .top_k = 8,
                                     .score = moesaic::score_fn::sigmoid,
                                     .bias = true,
                                     .n_group = 8,
                                     .topk_group = 3,
                                     .group_score = moesaic::group_score_fn::max,
                                     .norm = norm_fn::sum,
                                     .norm_eps = 1e-20F,
                                     .shared_inter = 40};
  using policy = policies::fp8_w8a8;
  using x_type = moesaic::bf16;
  using y_type = moesaic::bf16;
  static constexpr bool residual = true;
  static constexpr double bound = 1e-3;
};
struct w8a8_ue8m0 {
  static constexpr moe_config config{.hidden = 320, .inter = 576, .experts = 8, .top_k = 1, .route_scale = 2.0F};
  using policy = policies::fp8_w8a8_ue8m0;
  using x_type = moesaic::fp16;
  using y_type = float;
  static constexpr bool residual = false;
  static constexpr double bound = 1e-3;
};
struct w8a8_whole_blocks {
  static constexpr moe_config config{.hidden = 384,
                                     .inter = 256,
                                     .experts = 8,
                                     .top_k = 3,
                                     .score = moesaic::score_fn::sigmoid,
                                     .bias = true,
                                     .norm = norm_fn::sum,
                                     .norm_eps = 1e-20F,
                                     .shared_inter = 256};
  using policy = policies::fp8_w8a8;
  using x_type = moesaic::bf16;
  using y_type = float;
  static constexpr bool residual = true;
  static constexpr double bound = 1e-3;
};
struct w8a8_ue8m0_whole_blocks {
  static constexpr moe_config config{.hidden = 256, .inter = 128, .experts = 8, .top_k = 2, .norm = norm_fn::sum, .shared_inter = 128};
  using policy = policies::fp8_w8a8_ue8m0;
  using x_type = moesaic::bf16;
  using y_type = moesaic::bf16;
  static constexpr bool residual = false;
  static constexpr double bound = 1e-3;
};
struct bf16_activations {
  static constexpr moesaic::layer_policy policy{.activations = moesaic::activation_format::bf16};
};
struct bf16_between {
  static constexpr moe_config config{.hidden = 192, .inter = 576, .experts = 12, .top_k = 3, .norm = norm_fn::sum, .shared_inter = 320};
  using policy = bf16_activations;
  using x_type = moesaic::fp16;
  using y_type = moesaic::fp16;
  static constexpr bool residual = true;
  static constexpr double bound = 1e-4;
};

}  // namespace layers

inline constexpr std::int64_t forward_tokens = 29;

// One layer with weights and tokens, and what the stamp's backend makes of them.
template <class Model>
struct forward_case {
  using layer = moesaic::layer<Model, typename Model::policy>;
  using x_type = typename Model::x_type;
  using y_type = typename Model::y_type;
  using prepared_layer = moesaic::prepared_weights<stamp::context_type, layer>;
  static constexpr moesaic::moe_config config = Model::config;
  static constexpr int shared = config.shared_inter > 0 ? 1 : 0;
  static constexpr std::int64_t stride = config.hidden + 16;

  oracle::random random = random_for(9, static_cast<std::uint64_t>(config.hidden), static_cast<std::uint64_t>(config.inter));
  stored_weights<layer::policy.router> router{1, config.experts, config.hidden, random};
  buffer<float> bias{config.experts};
  stored_weights<layer::policy.weights> gate{config.experts, config.inter, config.hidden, random},
      up{config.experts, config.inter, config.hidden, random}, down{config.experts, config.hidden, config.inter, random},
      shared_gate{shared, config.shared_inter, config.hidden, random}, shared_up{shared, config.shared_inter, config.hidden, random},
      shared_down{shared, config.hidden, config.shared_inter, random};
  buffer<x_type> x{forward_tokens * stride};
  buffer<y_type> residual{forward_tokens * stride};

  forward_case() {
    for (float& b : bias) b = random.normal() * 0.1F;
    for (x_type& v : x) v = rounded<x_type>(static_cast<double>(random.normal()));
    for (y_type& v : residual) v = rounded<y_type>(static_cast<double>(random.normal()));
  }

  static std::string name() {
    char const* const formats[] = {"f32", "bf16", "fp16", "e4m3_1x128", "e4m3_1x128_ue8m0"};
    return "H " + std::to_string(config.hidden) + ", I " + std::to_string(config.inter) + ", activations " +
           formats[static_cast<int>(layer::policy.activations)];
  }

  moesaic::layer_weights<layer> weights() {
    moesaic::layer_weights<layer> w;
    w.router = router.by_stride();
    w.bias = config.bias ? bias.data() : nullptr;
    w.gate = gate.by_table(), w.up = up.by_table(), w.down = down.by_table();
    if (shared == 1) w.shared_gate = shared_gate.by_stride(), w.shared_up = shared_up.by_stride(), w.shared_down = shared_down.by_stride();
    return w;
  }
  oracle::expert_weights exact_expert(int e) const {
    int const number = config.experts - 1 - e;  // by_table() turns the order round
    return {gate.exact(number), up.exact(number), down.exact(number)};
  }
  std::vector<double> exact_x(std::int64_t t) const {
    std::vector<double> row;
    for (int c = 0; c < config.hidden; ++c) row.push_back(value(x[t * stride + c]));
    return row;
  }

  // y without its rounding, token by token, for the experts and weights that the library chose or was given.
  oracle::matrix exact_y(buffer<std::int32_t> const& ids, buffer<float> const& weight) const {
    oracle::matrix y(forward_tokens, config.hidden);
    constexpr auto format = layer::policy.activations;
    auto add = [&](std::int64_t t, double w, oracle::expert_weights const& e) {
      std::vector<double> const out = oracle::expert_output(exact_x(t), e, format);
      for (std::size_t c = 0; c < out.size(); ++c) y.row(static_cast<int>(t))[c] += w * out[c];
    };
    for (int e = 0; e < config.experts; ++e) {
      oracle::expert_weights const expert = exact_expert(e);
      for (std::int64_t slot = 0; slot < forward_tokens * config.top_k; ++slot)
        if (ids[slot] == e) add(slot / config.top_k, value(weight[slot]), expert);
    }
    if (shared == 1) {
      oracle::expert_weights const expert{shared_gate.exact(0), shared_up.exact(0), shared_down.exact(0)};
      for (std::int64_t t = 0; t < forward_tokens; ++t) add(t, 1.0, expert);
    }
    if (Model::residual)
      for (std::int64_t t = 0; t < forward_tokens; ++t)
        for (int c = 0; c < config.hidden; ++c) y.row(static_cast<int>(t))[c] += value(residual[t * stride + c]);
    return y;
  }
};

template <class Model, class Context = stamp::context_type>
struct prepared_forward {
  using layer = typename forward_case<Model>::layer;
  buffer<std::byte> memory;
  moesaic::prepared_weights<Context, layer> weights{};

  prepared_forward(Context const& ctx, forward_case<Model>& c)
      : memory(static_cast<std::int64_t>(moesaic::prepared_bytes<layer>(ctx))) {
    need(moesaic::prepare<layer>(ctx, c.weights(), {memory.data(), memory.bytes()}, weights));
    stamp::finish();
  }
};

template <class Model>
struct forward_output {
  static constexpr int top_k = Model::config.top_k;
  std::int64_t tokens;
  buffer<typename Model::y_type> y;
  buffer<std::int32_t> ids;
  buffer<float> weights;

  explicit forward_output(std::int64_t t) : tokens(t), y(t * forward_case<Model>::stride), ids(t * top_k), weights(t * top_k) {}
  forward_output(forward_output const&) = default;
  moesaic::topk_choice choice() const { return {ids.data(), weights.data(), tokens, top_k}; }
};

// Tokens [first, last) in a workspace of exactly the bytes asked for, filled with `dirt`. The choice is written out, or read from `given`.
template <class Model, class Context>
forward_output<Model> run_forward(Context const& ctx, forward_case<Model> const& c, prepared_forward<Model, Context> const& w,
                                  std::int64_t first, std::int64_t last, unsigned char dirt = 0,
                                  forward_output<Model> const* given = nullptr) {
  using layer = typename forward_case<Model>::layer;
  constexpr std::int64_t stride = forward_case<Model>::stride;
  forward_output<Model> out = given != nullptr ? *given : forward_output<Model>(last - first);
  buffer<std::byte> workspace(static_cast<std::int64_t>(moesaic::workspace_bytes<layer>(ctx, last - first)));
  workspace.fill_bytes(dirt);
  moesaic::forward_extras<typename Model::y_type> extras{
      .choice = out.choice(), .given = given != nullptr ? moesaic::given_choice::ids_and_weights : moesaic::given_choice::nothing};
  if (Model::residual) extras.residual = {c.residual.data() + first * stride, last - first, Model::config.hidden, stride};
  need(moesaic::forward<layer>(ctx, moesaic::matrix_view(c.x.data() + first * stride, last - first, Model::config.hidden, stride),
                               w.weights, moesaic::matrix_view(out.y.data(), last - first, Model::config.hidden, stride),
                               {workspace.data(), workspace.bytes()}, extras));
  stamp::finish();
  for (std::int64_t t = 0; t < last - first; ++t)
    EXPECT_TRUE(out.y.is_untouched(t * stride + Model::config.hidden, stride - Model::config.hidden)) << "behind token " << t;
  return out;
}

template <class Model>
void expect_same_output(forward_output<Model> const& some, forward_output<Model> const& all, std::int64_t first) {
  constexpr std::int64_t stride = forward_case<Model>::stride, k = Model::config.top_k;
  EXPECT_TRUE(same_bits(some.ids.data(), &all.ids[first * k], some.tokens * k));
  EXPECT_TRUE(same_bits(some.weights.data(), &all.weights[first * k], some.tokens * k));
  for (std::int64_t t = 0; t < some.tokens; ++t)
    ASSERT_TRUE(same_bits(&some.y[t * stride], &all.y[(first + t) * stride], Model::config.hidden)) << "token " << first + t;
}

template <class Model, class F>
void run_forward_case(F const& f) {
  SCOPED_TRACE(forward_case<Model>::name());
  static forward_case<Model> c;  // made once for all tests
  f(c, Model{});
  report().count("forward (test, layer)");
}
template <class F>
void for_each_forward_case(F const& f) {
  run_forward_case<layers::deepseek_like>(f);
  run_forward_case<layers::mixtral_like>(f);
  run_forward_case<layers::lite_like>(f);
  run_forward_case<layers::w8a8>(f);
  run_forward_case<layers::w8a8_whole_blocks>(f);
  run_forward_case<layers::w8a8_ue8m0>(f);
  run_forward_case<layers::w8a8_ue8m0_whole_blocks>(f);
  run_forward_case<layers::bf16_between>(f);
}

// The relative RMS of what is not explained by rounding y once.
template <class Model>
double forward_error(forward_case<Model> const& c, forward_output<Model> const& out) {
  oracle::matrix const exact = c.exact_y(out.ids, out.weights);
  double error = 0, size = 0;
  for (int t = 0; t < forward_tokens; ++t)
    for (int i = 0; i < Model::config.hidden; ++i) {
      double const right = exact.row(t)[i], y = value(out.y[t * c.stride + i]);
      double const rounding =
          std::is_same_v<typename Model::y_type, float> ? 0.0 : std::fabs(value(rounded<typename Model::y_type>(right)) - right);
      double const e = std::max(std::fabs(y - right) - rounding, 0.0);
      error += e * e;
      size += right * right;
      if (std::isnan(y)) return NAN;
    }
  return std::sqrt(error / size);
}

// A backend that rounds the down GEMM's rows to bf16 says so through its error.
template <class Model, class B>
double forward_bound() {
  if constexpr (sizeof(moesaic::detail::partial_t<typename forward_case<Model>::layer, B>) == 2)
    return Model::bound + B::e4m3_error + 0x1p-9;
  else
    return Model::bound + (moesaic::is_quantized(forward_case<Model>::layer::policy.activations) ? error_of_codes<B>() : 0.0);
}

TEST(forward, stays_near_float64) {
  for_each_forward_case([](auto& c, auto model) {
    using Model = decltype(model);
    stamp::context_type const ctx = stamp::context(stamp::settings[0]);
    prepared_forward<Model> const w(ctx, c);
    double const error = forward_error(c, run_forward(ctx, c, w, 0, forward_tokens));
    EXPECT_LE(error, (forward_bound<Model, stamp::context_type>()));
    report().error("forward against float64, relative RMS, " + c.name(), error);
  });
}

TEST(forward, takes_a_given_choice_with_slots_of_no_expert) {
  for_each_forward_case([](auto& c, auto model) {
    using Model = decltype(model);
    for_each_setting([&](stamp::context_type const& ctx) {
      prepared_forward<Model> const w(ctx, c);
      oracle::random r = random_for(10);
      forward_output<Model> given(forward_tokens);
      for (std::int32_t& id : given.ids)
        id = r.below(4) == 0 ? (r.below(2) == 0 ? -1 : Model::config.experts) : r.below(Model::config.experts);
      for (int k = 0; k < Model::config.top_k; ++k) given.ids[5 * Model::config.top_k + k] = -1;  // a token without any expert
      for (float& v : given.weights) v = static_cast<float>(r.uniform());
      forward_output<Model> const out = run_forward(ctx, c, w, 0, forward_tokens, 0x00, &given);  // row 0 wherever no row is marked
      expect_same_output(run_forward(ctx, c, w, 0, forward_tokens, 0xFF, &given), out, 0);
      EXPECT_TRUE(same_bits(out.ids, given.ids));
      EXPECT_TRUE(same_bits(out.weights, given.weights));
      double const error = forward_error(c, out);
      EXPECT_LE(error, (forward_bound<Model, stamp::context_type>()));
      report().error("forward with a given choice against float64, relative RMS, " + c.name(), error);
    });
  });
}

TEST(forward, routes_as_float64_does_and_as_route_does) {
  for_each_forward_case([](auto& c, auto model) {
    using Model = decltype(model);
    using layer = typename forward_case<Model>::layer;
    oracle::matrix const router = c.router.exact(0);
    for_each_setting([&](stamp::context_type const& ctx) {
      prepared_forward<Model> const w(ctx, c);
      forward_output<Model> const out = run_forward(ctx, c, w, 0, forward_tokens), alone(forward_tokens);
      buffer<std::byte> const scratch(static_cast<std::int64_t>(moesaic::route_bytes<layer>(forward_tokens)));
      need(moesaic::route<layer>(ctx, moesaic::matrix_view(c.x.data(), forward_tokens, Model::config.hidden, c.stride), w.weights,
                                 {scratch.data(), scratch.bytes()}, alone.choice()));
      stamp::finish();
      EXPECT_TRUE(same_bits(out.ids, alone.ids));
      EXPECT_TRUE(same_bits(out.weights, alone.weights));
      for (std::int64_t t = 0; t < forward_tokens; ++t) {
        std::vector<double> logits(static_cast<std::size_t>(Model::config.experts));
        oracle::multiply(c.exact_x(t).data(), router, logits.data());
        std::vector<float> const single(logits.begin(), logits.end());
        ASSERT_EQ(oracle::fault_of_route(Model::config, single.data(), c.bias.data(), &out.ids[t * Model::config.top_k],
                                         &out.weights[t * Model::config.top_k], 2e-6),
                  "")
            << "token " << t;
      }
    });
  });
}

TEST(forward, gives_the_same_bits_for_any_number_of_threads_in_any_run_and_workspace) {
  for_each_forward_case([](auto& c, auto model) {
    using Model = decltype(model);
    stamp::context_type const one = stamp::context(stamp::settings[0]);
    prepared_forward<Model> const first_prepared(one, c);
    forward_output<Model> const first = run_forward(one, c, first_prepared, 0, forward_tokens);
    for_each_setting([&](stamp::context_type const& ctx) {
      prepared_forward<Model> const w(ctx, c);
      for (unsigned char const dirt : std::initializer_list<unsigned char>{0x00, 0xFF, 0x7F})
        expect_same_output(run_forward(ctx, c, w, 0, forward_tokens, dirt), first, 0);
    });
  });
}

TEST(forward, rows_do_not_depend_on_their_batch) {
  for_each_forward_case([](auto& c, auto model) {
    using Model = decltype(model);
    for_each_setting([&](stamp::context_type const& ctx) {
      prepared_forward<Model> const w(ctx, c);
      forward_output<Model> const whole = run_forward(ctx, c, w, 0, forward_tokens);
      for (std::int64_t const at : {std::int64_t{1}, forward_tokens / 2}) {
        expect_same_output(run_forward(ctx, c, w, 0, at), whole, 0);
        expect_same_output(run_forward(ctx, c, w, at, forward_tokens), whole, at);
      }
      expect_same_output(run_forward(ctx, c, w, 7, 7), whole, 7);  // no token at all
      for (std::int64_t t = 0; t < forward_tokens; t += 4) expect_same_output(run_forward(ctx, c, w, t, t + 1), whole, t);
    });
  });
}

TEST(forward, may_write_over_its_input) {
  using Model = layers::deepseek_like;  // x, y and residual of one type
  using layer = forward_case<Model>::layer;
  run_forward_case<Model>([](forward_case<Model>& c, Model) {
    for_each_setting([&](stamp::context_type const& ctx) {
      prepared_forward<Model> const w(ctx, c);
      auto run = [&](float* y, float const* x, float const* residual) {
        buffer<std::byte> const workspace(static_cast<std::int64_t>(moesaic::workspace_bytes<layer>(ctx, forward_tokens)));
        auto view = [&](auto* p) { return moesaic::matrix_view(p, forward_tokens, Model::config.hidden, c.stride); };
        need(
            moesaic::forward<layer>(ctx, view(x), w.weights, view(y), {workspace.data(), workspace.bytes()}, {.residual = view(residual)}));
        stamp::finish();
      };
      buffer<float> const apart(forward_tokens * c.stride), all_one(c.x);
      run(apart.data(), c.x.data(), c.x.data());
      run(all_one.data(), all_one.data(), all_one.data());
      for (std::int64_t t = 0; t < forward_tokens; ++t)
        ASSERT_TRUE(same_bits(&all_one[t * c.stride], &apart[t * c.stride], Model::config.hidden)) << "token " << t;
    });
  });
}

}  // namespace conformance
