// A Kokkos team as a group: the same rules as the serial group, carried out by several threads.
#pragma once

#include <Kokkos_Core.hpp>
#include <cstdint>

#include <moesaic/semantics/group.hpp>

namespace moesaic::inline MOESAIC_ABI::kokkos {

/// All members call every operation together. `lane` is team scratch for the partial sums of the fixed summation order.
template <class Member>
struct team_group {
  Member const& member;
  float* lane;

  template <class F>
  KOKKOS_INLINE_FUNCTION void for_each(int n, F const& f) const {
    Kokkos::parallel_for(Kokkos::TeamVectorRange(member, n), f);
    member.team_barrier();
  }

  template <class F>
  KOKKOS_INLINE_FUNCTION void single(F const& f) const {
    Kokkos::single(Kokkos::PerTeam(member), f);
    member.team_barrier();
  }

  template <class F>
  KOKKOS_INLINE_FUNCTION std::uint32_t max(int n, F const& f) const {
    std::uint32_t best = 0;
    Kokkos::parallel_reduce(
        Kokkos::TeamVectorRange(member, n),
        [&](int i, std::uint32_t& b) {
          std::uint32_t const v = f(i);
          b = v > b ? v : b;
        },
        Kokkos::Max<std::uint32_t>(best));
    return best;
  }

  template <class F>
  KOKKOS_INLINE_FUNCTION std::uint32_t min(int n, F const& f) const {
    std::uint32_t best = ~0U;
    Kokkos::parallel_reduce(
        Kokkos::TeamVectorRange(member, n),
        [&](int i, std::uint32_t& b) {
          std::uint32_t const v = f(i);
          b = v < b ? v : b;
        },
        Kokkos::Min<std::uint32_t>(best));
    return best;
  }

  template <class F>
  KOKKOS_INLINE_FUNCTION float sum(int n, F const& f) const {
    float* const l = lane;
    for_each(sum_lanes, [=](int i) {
      float s = 0.0F;
      for (int j = i; j < n; j += sum_lanes) s += f(j);
      l[i] = s;
    });
    for (int half = sum_lanes / 2; half > 0; half /= 2) for_each(half, [=](int i) { l[i] += l[i + half]; });
    float const total = l[0];
    member.team_barrier();
    return total;
  }
};

}  // namespace moesaic::inline MOESAIC_ABI::kokkos
