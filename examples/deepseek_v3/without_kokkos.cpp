// Stands in for on_kokkos where moesaic is built without that backend.
#include "forward.hpp"

namespace deepseek_v3 {

backend const on_kokkos{false, [] { return std::string("this program was built without it (MOESAIC_KOKKOS=OFF)"); }, nullptr};

}  // namespace deepseek_v3
