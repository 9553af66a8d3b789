// One test a family on Kokkos with cpu/ switched off: teams as groups and the portable GEMM.
#include <moesaic/kokkos/portable.hpp>

#include "check.hpp"

namespace families {
namespace {

#define MOESAIC_TEST(family)                                                    \
  TEST(families_kokkos, family) {                                               \
    check_route<family>(kokkos::portable{Kokkos::DefaultHostExecutionSpace{}}); \
    check_layer<family>(kokkos::portable{Kokkos::DefaultHostExecutionSpace{}}); \
  }
MOESAIC_FOR_EACH_FAMILY(MOESAIC_TEST)

}  // namespace
}  // namespace families

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  Kokkos::ScopeGuard const guard(Kokkos::InitializationSettings().set_disable_warnings(true));
  return RUN_ALL_TESTS();
}
