// The stand-in for the header of the same name.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include <moesaic/core/macros.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::ptx {

template <class T>
T* dynamic_shared() {
  return reinterpret_cast<T*>(::fibers::shared());
}

inline void cluster_arrive() {
  if (::fibers::is_cooperative()) ::fibers::fail("a barrier of a cluster in a cooperative grid");
  ::fibers::arrive_at_group(::fibers::blocks_together() * blockDim.x);
}
inline void cluster_arrive_relaxed() { cluster_arrive(); }
inline void cluster_wait() { ::fibers::wait_for_group(); }

template <class T>
T read_shared_of(unsigned rank, T const* mine) {
  auto const offset = reinterpret_cast<unsigned char const*>(mine) - ::fibers::shared();
  return *reinterpret_cast<T const*>(::fibers::shared_of(rank) + offset);
}

}  // namespace moesaic::inline MOESAIC_ABI::cuda::ptx
