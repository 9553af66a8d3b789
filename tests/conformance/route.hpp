// Route from given logits: the reference's bits, and a float64 judge.
#pragma once

#include <moesaic/pipeline/stages.hpp>
#include <oracle/route.hpp>
#include <utility>

#include "configurations.hpp"
#include "expected.hpp"
#include "patterns.hpp"
#include "suite.hpp"

namespace conformance {

using route_function = moesaic::status (*)(stamp::context_type const&, float const*, float const*, moesaic::topk_choice);
template <int I>
moesaic::status route_with(stamp::context_type const& ctx, float const* logits, float const* bias, moesaic::topk_choice out) {
  constexpr moesaic::moe_config c = router_layer<I>::config;
  return moesaic::route_from_logits<router_layer<I>>(ctx, {logits, out.tokens, c.experts}, c.bias ? bias : nullptr, out);
}
template <int... I>
route_function route_of(int router, std::integer_sequence<int, I...>) {
  static constexpr route_function table[] = {&route_with<I>...};
  return table[router];
}

struct routed {
  buffer<std::int32_t> ids;
  buffer<float> weights;
  routed(std::int64_t tokens, int top_k) : ids(tokens * top_k), weights(tokens * top_k) {}
};

// f(router, configuration, pattern, tokens, input) for every case.
template <class F>
void for_each_router_case(F const& f) {
  for (int router = 0; router < router_count; ++router)
    for (int p = 0; p < pattern_count; ++p) {
      moesaic::moe_config const c = config_of(routers[router]);
      std::int64_t const tokens = tokens_of(router, pattern{p});
      SCOPED_TRACE("router " + std::to_string(router) + ", pattern " + std::to_string(p) + ", tokens " + std::to_string(tokens));
      oracle::random r = random_for(1, static_cast<std::uint64_t>(router), static_cast<std::uint64_t>(p));
      f(router, c, pattern{p}, tokens, make_router_input(c, pattern{p}, tokens, r));
      if (testing::Test::HasFailure()) return;
    }
}

inline routed run_route(stamp::context_type const& ctx, int router, std::int64_t tokens, router_input const& in) {
  int const k = routers[router].top_k;
  buffer<float> const logits(in.logits), bias(in.bias);
  routed out(tokens, k);
  need(route_of(router, std::make_integer_sequence<int, router_count>{})(ctx, logits.data(), bias.data(),
                                                                         {out.ids.data(), out.weights.data(), tokens, k}));
  stamp::finish();
  return out;
}

TEST(route, gives_the_reference_bits) {
  for_each_router_case([](int router, moesaic::moe_config const& c, pattern, std::int64_t tokens, router_input const& in) {
    routed const expected(tokens, c.top_k);
    expected::route(router, in.logits.data(), in.bias.data(), tokens, expected.ids.data(), expected.weights.data());
    for_each_setting([&](stamp::context_type const& ctx) {
      routed const out = run_route(ctx, router, tokens, in);
      EXPECT_TRUE(same_bits(out.ids, expected.ids));
      EXPECT_TRUE(same_bits(out.weights, expected.weights));
      report().count("route (router, pattern, setting)");
    });
  });
  report().count("routers", router_count);
}

TEST(route, is_what_float64_makes_of_the_logits) {
  for_each_router_case([](int router, moesaic::moe_config const& c, pattern, std::int64_t tokens, router_input const& in) {
    routed const out = run_route(stamp::context(stamp::settings[0]), router, tokens, in);
    for (std::int64_t t = 0; t < tokens; ++t)
      ASSERT_EQ(oracle::fault_of_route(c, in.logits.data() + t * c.experts, in.bias.data(), out.ids.data() + t * c.top_k,
                                       out.weights.data() + t * c.top_k),
                "")
          << "token " << t;
    report().count("tokens whose route float64 judged", static_cast<long>(tokens));
  });
}

}  // namespace conformance
