// The launches of forward are those that describe counts, and every kernel of it begins before the one ahead of it has done anything
// (fibers.hpp), so that the tests of conformance/forward.hpp show what it has read, and what others have, too early. After
// conformance/forward.hpp.
#pragma once

#include <conformance/forward.hpp>
#include <moesaic/pipeline/describe.hpp>

namespace conformance {

TEST(dependent_launch, is_how_every_kernel_of_forward_starts) {
  for_each_forward_case([](auto& c, auto model) {
    using Model = decltype(model);
    using layer = typename forward_case<Model>::layer;
    stamp::context_type const ctx = stamp::context(stamp::settings[0]);
    prepared_forward<Model> const w(ctx, c);
    static_cast<void>(fibers::take_counts());
    forward_output<Model> const out = run_forward(ctx, c, w, 0, forward_tokens);
    auto const [all, overlapping] = fibers::take_counts();
    EXPECT_EQ(all, moesaic::describe<layer>(ctx, {.tokens = forward_tokens, .x_bytes = sizeof(typename Model::x_type)}).total().launches);
    EXPECT_EQ(overlapping, all);
    // Where the choice is given the router alone is missing: the front takes it as it is.
    static_assert(moesaic::detail::fuses_front<stamp::context_type, layer>);
    expect_same_output(run_forward(ctx, c, w, 0, forward_tokens, 0xFF, &out), out, 0);
    auto const [given, overlapping_of_given] = fibers::take_counts();
    EXPECT_EQ(given, all - 1);
    EXPECT_EQ(overlapping_of_given, given);
    report().count("kernels of forward, " + c.name(), all);
  });
}

}  // namespace conformance
