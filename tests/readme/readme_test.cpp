#include "example.hpp"

#include <gtest/gtest.h>

namespace {

TEST(readme, example_compiles_and_answers_a_call_without_weights) {
  moesaic::status const s = moe(backend{Kokkos::OpenMP{}}, {}, {}, {}, {}, {});
  EXPECT_FALSE(s);
  EXPECT_STREQ(describe(s).c_str(), "weights.router.experts is 0, expected 1");
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  Kokkos::ScopeGuard const guard(Kokkos::InitializationSettings().set_disable_warnings(true));
  return RUN_ALL_TESTS();
}
