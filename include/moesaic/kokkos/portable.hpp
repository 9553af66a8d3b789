// The Kokkos backend that works in every execution space: teams as groups, the portable GEMM, weights where the caller has them.
#pragma once

#include <Kokkos_Core.hpp>
#include <cstdint>

#include <moesaic/core/status.hpp>
#include <moesaic/kokkos/gemm.hpp>
#include <moesaic/kokkos/group.hpp>
#include <moesaic/semantics/unpacked_weights.hpp>

namespace moesaic::inline MOESAIC_ABI::kokkos {

namespace detail {

/// A named functor and not a lambda: Kokkos users meet compilers that miscompile extended lambdas.
template <class Exec, class F>
struct team_launch {
  using team_policy = Kokkos::TeamPolicy<Exec, Kokkos::IndexType<std::int64_t>>;
  using member_type = typename team_policy::member_type;

  struct scratch {
    typename F::scratch stage;
    float lane[sum_lanes];
  };

  F stage;

  KOKKOS_FUNCTION void operator()(member_type const& member) const {
    auto& s = *static_cast<scratch*>(member.team_scratch(0).get_shmem_aligned(sizeof(scratch), 64));
    stage(team_group<member_type>{member, s.lane}, std::int64_t{member.league_rank()}, s.stage);
  }
};

/// Room for the object and for aligning it.
template <class S>
inline constexpr int scratch_bytes = static_cast<int>(sizeof(S) + 64);

}  // namespace detail

/// The context: `kokkos::portable{exec}`. Prepared weights are the caller's own views, in memory that `exec` can reach; they must stay
/// alive. Work is enqueued on `exec`; nothing here fences. team_size 0 leaves the choice to Kokkos.
template <class Exec>
struct portable : unpacked_weights {
  Exec exec;
  int team_size = 0;

  explicit portable(Exec const& e, int team = 0) : exec(e), team_size(team) {}

  template <class F>
  status launch(std::int64_t n, F const& f) const {
    run("moesaic::stage", n, detail::team_launch<Exec, F>{f});
    return {};
  }

  template <class Rows, weight_format F>
  status grouped_gemm(gemm_input<Rows> const& a, weight_matrices<F> const& w, std::int32_t const* expert_offsets,
                      matrix_view<float> out) const {
    team_gemm<Exec, Rows, F> const gemm{a, w, expert_offsets, out};
    run("moesaic::grouped_gemm", w.experts * gemm.tiles(), gemm);
    return {};
  }

 private:
  template <class Functor>
  void run(char const* label, std::int64_t league, Functor const& f) const {
    using policy = typename Functor::team_policy;
    int const teams = static_cast<int>(league);  // Kokkos counts teams in int; stages stay below 2^31 rows, tiles far below
    policy p = team_size > 0 ? policy(exec, teams, team_size) : policy(exec, teams, Kokkos::AUTO);
    p.set_scratch_size(0, Kokkos::PerTeam(detail::scratch_bytes<typename Functor::scratch>));
    Kokkos::parallel_for(label, p, f);
  }
};

}  // namespace moesaic::inline MOESAIC_ABI::kokkos
