// A step up that gathers the rows of tokens itself gives the bits of one that is given a row for each slot. After conformance/forward.hpp.
#pragma once

#include <conformance/forward.hpp>
#include <moesaic/pipeline/describe.hpp>

namespace conformance {

struct gathering_arch : moesaic::tune::sm90a {
  static constexpr bool gathers = true;
};
using gathering_context = moesaic::cuda::on<gathering_arch>;

TEST(gathering, gives_the_bits_of_rows_in_order) {
  int gathered = 0;
  for_each_forward_case([&](auto& c, auto model) {
    using Model = decltype(model);
    using layer = typename forward_case<Model>::layer;
    if constexpr (moesaic::detail::gathers_own_rows<gathering_context, layer>) {
      ++gathered;
      stamp::context_type const ctx = stamp::context(stamp::settings[0]);
      gathering_context const gathers;
      prepared_forward<Model> const w(ctx, c);
      prepared_forward<Model, gathering_context> const w_gathers(gathers, c);
      forward_output<Model> const right = run_forward(ctx, c, w, 0, forward_tokens);
#ifdef MOESAIC_ON_FIBERS
      static_cast<void>(fibers::take_counts());
#endif
      expect_same_output(run_forward(gathers, c, w_gathers, 0, forward_tokens), right, 0);
#ifdef MOESAIC_ON_FIBERS
      EXPECT_EQ(fibers::take_counts().all,
                moesaic::describe<layer>(gathers, {.tokens = forward_tokens, .x_bytes = sizeof(typename Model::x_type)}).total().launches);
#endif
      EXPECT_LT(moesaic::workspace_bytes<layer>(gathers, 1000), moesaic::workspace_bytes<layer>(ctx, 1000));
    }
  });
  EXPECT_EQ(gathered, 2);
}

}  // namespace conformance
