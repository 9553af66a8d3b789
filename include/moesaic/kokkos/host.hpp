// Host execution spaces run the kernels of cpu/: Kokkos supplies the threads.
#pragma once

#include <Kokkos_Core.hpp>
#include <cstdint>

#include <moesaic/cpu/on.hpp>

namespace moesaic::inline MOESAIC_ABI::kokkos {

/// A Kokkos host space as the pool that cpu/ asks for: one item at a time to whichever thread is free.
template <class Exec>
struct host_pool {
  Exec exec;

  template <class F>
  void parallel_for(std::int64_t n, F const& f) const {
    using policy = Kokkos::RangePolicy<Exec, Kokkos::Schedule<Kokkos::Dynamic>, Kokkos::IndexType<std::int64_t>>;
    Kokkos::parallel_for("moesaic::items", policy(exec, 0, n).set_chunk_size(1), item<F>{f});
    exec.fence("moesaic::items");  // a pool returns when the work is done; spaces that have finished by then pay nothing
  }

 private:
  template <class F>
  struct item {
    F const& f;
    void operator()(std::int64_t i) const { f(i); }
  };
};

/// The context on a host space: the CPU backend, bit for bit.
template <class Exec, class Tuning>
struct host : cpu::on<host_pool<Exec>, Tuning> {
  explicit host(Exec const& e) : cpu::on<host_pool<Exec>, Tuning>(host_pool<Exec>{e}) {}
};

}  // namespace moesaic::inline MOESAIC_ABI::kokkos
