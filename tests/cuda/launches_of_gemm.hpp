// Which kernels are started before the one ahead of them is over. After conformance/gemm.hpp.
#pragma once

#include <conformance/gemm.hpp>

namespace conformance {

// Only code for 9.0 and later waits: fibers.cpp ends a program whose kernels may start early and do not, or let others start too early.
TEST(dependent_launch, is_for_code_that_waits) {
  constexpr bool code_waits = __CUDA_ARCH__ >= 900;
  for_each_gemm_case([](auto& c) {
    stamp::context_type const ctx = stamp::context(stamp::settings[0]);
    prepared<std::remove_reference_t<decltype(c)>::format> const w(ctx, c.stored(false));
    static_cast<void>(fibers::take_counts());
    static_cast<void>(run_gemm(ctx, c, w, false));
    auto const [all, overlapping] = fibers::take_counts();
    EXPECT_EQ(all, 1);
    EXPECT_EQ(overlapping, code_waits ? 1 : 0);
  });
}

}  // namespace conformance
