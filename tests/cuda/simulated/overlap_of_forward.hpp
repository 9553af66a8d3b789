// Every kernel of forward begins before the one ahead of it has done anything (gpu.hpp), so that the tests of conformance/forward.hpp show
// what it has read, and what others have, too early. Here: that this is so, and that there are as many as describe() counts.
#pragma once

#include <conformance/forward.hpp>
#include <moesaic/pipeline/describe.hpp>

namespace conformance {

TEST(dependent_launch, is_how_every_kernel_of_forward_starts) {
  for_each_forward_case([](auto& c, auto model) {
    using Model = decltype(model);
    stamp::context_type const ctx = stamp::context(stamp::settings[0]);
    prepared_forward<Model> const w(ctx, c);
    static_cast<void>(simulated::take_counts());
    forward_output<Model> const out = run_forward(ctx, c, w, 0, forward_tokens);
    auto const [all, overlapping] = simulated::take_counts();
    moesaic::layer_work const work{.tokens = forward_tokens, .x_bytes = sizeof(typename Model::x_type)};
    EXPECT_EQ(all, moesaic::describe<typename forward_case<Model>::layer>(ctx, work).total().launches);
    EXPECT_EQ(overlapping, all);
    report().count("kernels of forward, " + c.name(), all);
  });
}

}  // namespace conformance
