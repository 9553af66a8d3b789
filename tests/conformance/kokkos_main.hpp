// Kokkos starts before the tests and ends after them. In one half of a stamp, so that there is one main.
#pragma once

#include <gtest/gtest.h>

#include <Kokkos_Core.hpp>

#if CONFORMANCE_HALF == 1
int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  Kokkos::ScopeGuard const kokkos(Kokkos::InitializationSettings().set_disable_warnings(true).set_num_threads(2));
  return RUN_ALL_TESTS();
}
#endif
