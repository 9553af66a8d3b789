// The backends that a test of exact stages runs on: reference and cpu, and with MOESAIC_TEST_KOKKOS instead of them teams of two Kokkos
// threads (kokkos::on is cpu on a host).
#pragma once

#include <gtest/gtest.h>

#include <moesaic/cpu.hpp>
#ifdef MOESAIC_TEST_KOKKOS
#include <moesaic/kokkos.hpp>
#endif

namespace contexts {

// f(context) for each.
template <class F>
void for_each(F const& f) {
  auto run = [&](char const* name, auto const& ctx) {
    SCOPED_TRACE(name);
    f(ctx);
  };
#ifdef MOESAIC_TEST_KOKKOS
  run("kokkos::portable", moesaic::kokkos::portable(Kokkos::OpenMP(), 2));
#else
  run("reference", moesaic::reference::on{});
  moesaic::cpu::serial_pool pool;
  run("cpu", moesaic::cpu::on(pool));
#endif
}

inline void finish() {
#ifdef MOESAIC_TEST_KOKKOS
  Kokkos::fence();
#endif
}

}  // namespace contexts
