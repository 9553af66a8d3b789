// Found before the header of this name: what gpu.cpp does with kernels that may start early.
#pragma once

#include <moesaic/core/macros.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::ptx {

inline void wait_for_dependency() { ::simulated::wait_for_dependency(); }
inline void launch_dependents() { ::simulated::launch_dependents(); }
inline void follow_dependency() {
  wait_for_dependency();
  launch_dependents();
}

}  // namespace moesaic::inline MOESAIC_ABI::cuda::ptx
