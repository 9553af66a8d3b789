// Blocks that are alone: cudaFuncGetAttributes (../../../gpu.hpp) says that the code was made for no cluster.
#pragma once

#include <cstdint>

#include <moesaic/core/macros.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {
extern thread_local unsigned char shared_memory[];
}
namespace moesaic::inline MOESAIC_ABI::cuda::ptx {

template <class T>
T* dynamic_shared() {
  return reinterpret_cast<T*>(shared_memory);
}
inline void cluster_arrive() { simulated::fail("no clusters"); }
inline void cluster_arrive_relaxed() { simulated::fail("no clusters"); }
inline void cluster_wait() { simulated::fail("no clusters"); }
inline std::uint32_t read_shared_of(unsigned, std::uint32_t const*) { simulated::fail("no clusters"); }

}  // namespace moesaic::inline MOESAIC_ABI::cuda::ptx
