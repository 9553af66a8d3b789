// The host's processors, through Kokkos.
#pragma once

#include <Kokkos_Core.hpp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <moesaic/kokkos.hpp>

#include "arrays.hpp"

namespace deepseek_v3 {

struct kokkos_device {
  using exec = Kokkos::DefaultHostExecutionSpace;
  using context = moesaic::kokkos::on<exec>;
  static constexpr bool reads_host_memory = true;

  context ctx{exec{}};

  void* allocate(std::size_t n) const { return Kokkos::kokkos_malloc<Kokkos::HostSpace>("deepseek_v3", n); }
  void release(void* p) const { Kokkos::kokkos_free<Kokkos::HostSpace>(p); }
  void upload(void* to, void const* from, std::size_t n) const { std::memcpy(to, from, n); }
  void download(void* to, void const* from, std::size_t n) const { std::memcpy(to, from, n); }
  void wait() const { Kokkos::fence(); }

  template <class F>
  void for_each(std::int64_t n, F const& f) const {
    Kokkos::parallel_for(Kokkos::RangePolicy<exec, Kokkos::IndexType<std::int64_t>>(0, n), f);
  }
};
static_assert(device<kokkos_device>);

}  // namespace deepseek_v3
