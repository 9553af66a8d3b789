// The stand-in for the header of the same name: a group is copied when it is waited for.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <cstring>
#include <deque>
#include <map>
#include <utility>
#include <vector>

#include <moesaic/core/macros.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::ptx {

namespace detail {
struct small_copy {
  void* to;
  void const* from;
  std::size_t bytes;
};
struct copies_of_thread {
  std::vector<small_copy> open;
  std::deque<std::vector<small_copy>> groups;
};
inline copies_of_thread& copies() {
  static std::map<std::pair<unsigned, unsigned>, copies_of_thread> all;
  return all[{blockIdx.x, threadIdx.x}];
}
inline void start_copy(void* to, void const* from, std::size_t bytes) {
  if (reinterpret_cast<std::uintptr_t>(to) % bytes != 0 || reinterpret_cast<std::uintptr_t>(from) % bytes != 0)
    ::fibers::fail("cp.async of a misaligned address");
  copies().open.push_back({to, from, bytes});
}
}  // namespace detail

inline void cp_async_16(void* to, void const* from) { detail::start_copy(to, from, 16); }
inline void cp_async_4(void* to, void const* from) { detail::start_copy(to, from, 4); }
inline void cp_async_commit() { detail::copies().groups.push_back(std::exchange(detail::copies().open, {})); }
template <int Pending>
void cp_async_wait() {
  auto& groups = detail::copies().groups;
  for (; groups.size() > Pending; groups.pop_front())
    for (detail::small_copy const& c : groups.front()) std::memcpy(c.to, c.from, c.bytes);
}
inline void fence_for_async_proxy() {}

}  // namespace moesaic::inline MOESAIC_ABI::cuda::ptx
