// The stand-in for the header of the same name.
#pragma once

#include <cuda_runtime_api.h>

#include <moesaic/core/macros.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::ptx {

inline void wait_for_dependency() { ::fibers::wait_for_dependency(); }
inline void launch_dependents() { ::fibers::launch_dependents(); }
inline void follow_dependency() {
  wait_for_dependency();
  launch_dependents();
}

}  // namespace moesaic::inline MOESAIC_ABI::cuda::ptx
