// Wrong arguments of whole layers: the status names the argument and its value, and nothing has been written.
#pragma once

#include "forward.hpp"

namespace conformance {

// A call that is right but for what `spoil` does to its arguments, and what its status then says.
template <class Call>
struct wrong {
  void (*spoil)(Call&);
  std::string says;
};

// Spoils `right` in each of the ways. Then makes it as it is, which shows that nothing else was wrong with it.
template <class Call, class Untouched>
void expect_named(Call const& right, Untouched const& untouched, std::vector<wrong<Call>> const& ways) {
  for (wrong<Call> const& way : ways) {
    Call call = right;
    way.spoil(call);
    EXPECT_EQ(std::string(moesaic::describe(call()).c_str()), way.says);
    stamp::finish();
    EXPECT_TRUE(untouched()) << way.says;
    report().count("wrong calls");
  }
  EXPECT_EQ(std::string(moesaic::describe(right()).c_str()), "ok");
  stamp::finish();
}

template <class T>
bool all_untouched(buffer<T> const& b) {
  return b.is_untouched(0, static_cast<std::int64_t>(b.size()));
}
template <class T>
T* moved(T* p, int elements = 1) {  // no fast path can read this
  return p + elements;
}
inline void* moved(void* p) { return static_cast<std::byte*>(p) + 32; }

inline stamp::context_type any_context() { return stamp::context(stamp::settings[0]); }

struct forward_call {
  forward_case<layers::deepseek_like>::prepared_layer const* weights;
  moesaic::matrix_view<float const> x;
  moesaic::matrix_view<float> y;
  moesaic::memory workspace;
  moesaic::forward_extras<float> extras{};
  moesaic::status operator()() const {
    return moesaic::forward<forward_case<layers::deepseek_like>::layer>(any_context(), x, *weights, y, workspace, extras);
  }
};

TEST(forward, names_a_wrong_argument_and_leaves_y_alone) {
  run_forward_case<layers::deepseek_like>([](forward_case<layers::deepseek_like>& c, layers::deepseek_like) {
    using layer = forward_case<layers::deepseek_like>::layer;
    prepared_forward<layers::deepseek_like> const w(any_context(), c);
    auto const bytes = static_cast<std::int64_t>(moesaic::workspace_bytes<layer>(any_context(), forward_tokens));
    buffer<std::byte> const workspace(bytes + 64);
    forward_output<layers::deepseek_like> const out(forward_tokens);
    forward_call right{&w.weights,
                       {c.x.data(), forward_tokens, 576, c.stride},
                       {out.y.data(), forward_tokens, 576, c.stride},
                       {workspace.data(), static_cast<std::size_t>(bytes)},
                       {.choice = out.choice(), .residual = {c.residual.data(), forward_tokens, 576, c.stride}}};
    std::string const needed = std::to_string(bytes), given = std::to_string(bytes - 1);
    using call = forward_call;
    expect_named<call>(
        right, [&] { return all_untouched(out.y) && all_untouched(out.ids) && all_untouched(out.weights) && all_untouched(workspace); },
        {
            {[](call& f) { f.x.data = nullptr; }, "x.data is null"},
            {[](call& f) { f.x.data = moved(f.x.data); }, "x.data is 4 bytes past a multiple of 16"},
            {[](call& f) { f.x.cols = 568; }, "x.cols is 568, expected 576"},
            {[](call& f) { f.x.stride = 575; }, "x.stride is 575, expected 576"},
            {[](call& f) { ++f.x.stride; }, "x.stride is 4 bytes past a multiple of 16"},
            {[](call& f) { f.x.rows = -1; }, "x.rows is -1, expected 0 to 536870911"},
            {[](call& f) { f.x.rows = 1LL << 29; }, "x.rows is 536870912, expected 0 to 536870911"},
            {[](call& f) { f.y.data = nullptr; }, "y.data is null"},
            {[](call& f) { f.y.data = moved(f.y.data, 2); }, "y.data is 8 bytes past a multiple of 16"},
            {[](call& f) { f.y.rows = 28; }, "y.rows is 28, expected 29"},
            {[](call& f) { f.y.cols = 577; }, "y.cols is 577, expected 576"},
            {[](call& f) { f.y.stride = 0; }, "y.stride is 0, expected 576"},
            {[](call& f) { --f.workspace.bytes; }, "workspace holds " + given + " bytes, needed are " + needed},
            {[](call& f) { f.workspace = {}; }, "workspace holds 0 bytes, needed are " + needed},
            {[](call& f) { f.workspace.data = nullptr; }, "workspace.data is null"},
            {[](call& f) { f.workspace.data = moved(f.workspace.data); }, "workspace.data is 32 bytes past a multiple of 64"},
            {[](call& f) { f.extras.choice.tokens = 30; }, "extras.choice.tokens is 30, expected 29"},
            {[](call& f) { f.extras.choice.top_k = 3; }, "extras.choice.top_k is 3, expected 4"},
            {[](call& f) { f.extras.choice.weights = nullptr; }, "extras.choice.weights is null"},
            {[](call& f) { f.extras.choice.ids = nullptr, f.extras.given = moesaic::given_choice::ids_and_weights; },
             "extras.choice.ids is null"},
            {[](call& f) { f.extras.residual.rows = 1; }, "extras.residual.rows is 1, expected 29"},
            {[](call& f) { f.extras.residual.cols = 0; }, "extras.residual.cols is 0, expected 576"},
            {[](call& f) { f.extras.residual.data = moved(f.extras.residual.data); },
             "extras.residual.data is 4 bytes past a multiple of 16"},
        });

    forward_call nothing{&w.weights, {nullptr, 0, 576}, {nullptr, 0, 576}, {}};
    EXPECT_EQ(std::string(moesaic::describe(nothing()).c_str()), "ok") << "no tokens need no memory";
  });
}

struct prepare_call {
  moesaic::layer_weights<forward_case<layers::deepseek_like>::layer> weights;
  moesaic::memory to;
  moesaic::status operator()() const {
    forward_case<layers::deepseek_like>::prepared_layer out;
    return moesaic::prepare<forward_case<layers::deepseek_like>::layer>(any_context(), weights, to, out);
  }
};

TEST(prepare, names_a_wrong_argument_and_writes_nothing) {
  run_forward_case<layers::deepseek_like>([](forward_case<layers::deepseek_like>& c, layers::deepseek_like) {
    auto const bytes = static_cast<std::int64_t>(moesaic::prepared_bytes<forward_case<layers::deepseek_like>::layer>(any_context()));
    buffer<std::byte> const to(bytes + 64);
    using call = prepare_call;
    expect_named<call>(
        {c.weights(), {to.data(), static_cast<std::size_t>(bytes)}}, [&] { return all_untouched(to); },
        {
            {[](call& f) { f.weights.router.codes = {}; }, "weights.router.codes is null"},
            {[](call& f) { f.weights.router.n = 17; }, "weights.router.n is 17, expected 16"},
            {[](call& f) { f.weights.bias = nullptr; }, "weights.bias is null"},
            {[](call& f) { f.weights.gate.experts = 15; }, "weights.gate.experts is 15, expected 16"},
            {[](call& f) { f.weights.gate.scales = {}; }, "weights.gate.scales is null"},
            {[](call& f) { f.weights.up.k = 192; }, "weights.up.k is 192, expected 576"},
            {[](call& f) { f.weights.down.scales.table = nullptr; }, "weights.down.scales is null"},
            {[](call& f) {
               static std::uint8_t const* some[16];  // no expert's place is known
               f.weights.down.codes = {nullptr, 0, some};
             },
             "weights.down.codes is null"},
            {[](call& f) { f.weights.shared_gate = {}; }, "weights.shared_gate.experts is 0, expected 1"},
            {[](call& f) { f.weights.shared_up.codes.base = nullptr; }, "weights.shared_up.codes is null"},
            {[](call& f) { f.weights.shared_down.n = 192; }, "weights.shared_down.n is 192, expected 576"},
            {[](call& f) { --f.to.bytes; }, "to holds " + std::to_string(bytes - 1) + " bytes, needed are " + std::to_string(bytes)},
            {[](call& f) { f.to.data = nullptr; }, "to.data is null"},
            {[](call& f) { f.to.data = moved(f.to.data); }, "to.data is 32 bytes past a multiple of 64"},
        });
  });
}

struct route_call {
  using layer = forward_case<layers::deepseek_like>::layer;
  forward_case<layers::deepseek_like>::prepared_layer const* weights;
  moesaic::matrix_view<float const> x;
  moesaic::memory scratch;
  moesaic::topk_choice out;
  moesaic::status operator()() const { return moesaic::route<layer>(any_context(), x, *weights, scratch, out); }
};
TEST(route, names_a_wrong_argument) {
  run_forward_case<layers::deepseek_like>([](forward_case<layers::deepseek_like>& c, layers::deepseek_like) {
    prepared_forward<layers::deepseek_like> const w(any_context(), c);
    auto const bytes = static_cast<std::int64_t>(moesaic::route_bytes<route_call::layer>(forward_tokens));
    buffer<std::byte> const scratch(bytes + 64);
    forward_output<layers::deepseek_like> const out(forward_tokens);
    using call = route_call;
    expect_named<call>(
        {&w.weights, {c.x.data(), forward_tokens, 576, c.stride}, {scratch.data(), static_cast<std::size_t>(bytes)}, out.choice()},
        [&] { return all_untouched(out.ids) && all_untouched(out.weights) && all_untouched(scratch); },
        {
            {[](call& f) { f.x.data = nullptr; }, "x.data is null"},
            {[](call& f) { f.x.cols = 40; }, "x.cols is 40, expected 576"},
            {[](call& f) { f.x.data = moved(f.x.data); }, "x.data is 4 bytes past a multiple of 16"},
            {[](call& f) { --f.scratch.bytes; },
             "scratch holds " + std::to_string(bytes - 1) + " bytes, needed are " + std::to_string(bytes)},
            {[](call& f) { f.scratch.data = moved(f.scratch.data); }, "scratch.data is 32 bytes past a multiple of 64"},
            {[](call& f) { f.out.ids = nullptr; }, "out.ids is null"},
            {[](call& f) { f.out.tokens = 28; }, "out.tokens is 28, expected 29"},
        });
  });
}

}  // namespace conformance
