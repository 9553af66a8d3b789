// The stand-in for the header of the same name.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include <moesaic/core/macros.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::ptx {

inline unsigned char* shared_of(unsigned block) {
  auto const at = reinterpret_cast<std::uintptr_t>(simt::now.shared[block].data());
  return reinterpret_cast<unsigned char*>((at + 127) / 128 * 128);
}
template <class T>
T* dynamic_shared() {
  return reinterpret_cast<T*>(shared_of(simt::block_in_cluster()));
}

inline void cluster_arrive() {
  simt::now.current->cluster_generation = simt::arrive(simt::now.cluster, static_cast<int>(simt::now.fibers.size()));
}
inline void cluster_arrive_relaxed() { cluster_arrive(); }
inline void cluster_wait() { simt::wait(simt::now.cluster, simt::now.current->cluster_generation); }

inline std::uint32_t read_shared_of(unsigned rank, std::uint32_t const* mine) {
  auto const offset = reinterpret_cast<unsigned char const*>(mine) - shared_of(simt::block_in_cluster());
  for (std::size_t i = 0; i < simt::now.blocks.size(); ++i)
    if (i == rank && simt::now.fibers[i * blockDim.x].done) simt::fail("reads the shared memory of a block that has ended");
  return *reinterpret_cast<std::uint32_t const*>(shared_of(rank) + offset);
}

}  // namespace moesaic::inline MOESAIC_ABI::cuda::ptx
