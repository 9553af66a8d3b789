// What a kernel says to the ones before and behind it in the stream (compute capability 9.0 and later; before it there is nothing to say).
#pragma once

#include <moesaic/core/macros.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::ptx {

/// Waits until the grids that this one depends on are over and their writes are visible. Without a dependency: nothing.
__device__ inline void wait_for_dependency() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
/// Lets the next grid of the stream start, once every block has called it or has ended. Not before wait_for_dependency: the next grid
/// waits for this one alone, and counts on it that the grids before are over.
__device__ inline void launch_dependents() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

/// How a kernel begins that start() may overlap with the one ahead of it: all its threads call this before they read or write memory.
__device__ inline void follow_dependency() {
  wait_for_dependency();
  launch_dependents();
}

}  // namespace moesaic::inline MOESAIC_ABI::cuda::ptx
