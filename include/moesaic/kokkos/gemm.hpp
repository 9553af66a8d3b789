// The portable grouped GEMM: one team per expert and 32 weight rows, weights decoded once into team scratch, no intrinsics. It serves every
// Kokkos space that has no kernel of its own.
#pragma once

#include <Kokkos_Core.hpp>
#include <cstdint>

#include <moesaic/core/status.hpp>
#include <moesaic/semantics/gemm.hpp>

namespace moesaic::inline MOESAIC_ABI::kokkos {

/// One league member = (expert, tile of weight rows). Rows are shared out over the team's threads, weight rows over its vector lanes.
/// Each output adds columns ascending inside a block of 128 and blocks ascending, as gemm_element does, whatever the team's size.
template <class Exec, class Rows, weight_format F>
struct team_gemm {
  using team_policy = Kokkos::TeamPolicy<Exec, Kokkos::IndexType<std::int64_t>>;
  using member_type = typename team_policy::member_type;

  static constexpr int tile = 32;   // weight rows
  static constexpr int panel = 16;  // rows of a whose sums are held in scratch at a time

  struct scratch {
    float weight[scale_block][tile];
    float block[panel][tile];
    float total[panel][tile];
  };

  gemm_input<Rows> a;
  weight_matrices<F> w;
  std::int32_t const* expert_offsets;
  matrix_view<float> out;

  std::int64_t tiles() const { return ceil_div(w.n, tile); }

  KOKKOS_FUNCTION void operator()(member_type const& member) const {
    std::int64_t const tile_count = ceil_div(w.n, tile);
    std::int64_t const e = member.league_rank() / tile_count;
    std::int64_t const n0 = member.league_rank() % tile_count * tile;
    std::int64_t const first = expert_offsets != nullptr ? expert_offsets[e] : 0;
    std::int64_t const last = expert_offsets != nullptr ? expert_offsets[e + 1] : out.rows;
    auto& s = *static_cast<scratch*>(member.team_scratch(0).get_shmem_aligned(sizeof(scratch), 64));
    for (std::int64_t row = first; row < last; row += panel)
      rows(member, s, e, n0, row, static_cast<int>(last - row < panel ? last - row : panel));
  }

 private:
  KOKKOS_FUNCTION void rows(member_type const& member, scratch& s, std::int64_t e, std::int64_t n0, std::int64_t row0, int count) const {
    int const width = static_cast<int>(w.n - n0 < tile ? w.n - n0 : tile);
    gemm_input<Rows> const& input = a;
    weight_matrices<F> const& weights = w;
    Kokkos::parallel_for(Kokkos::TeamThreadRange(member, count), [&](int r) {
      Kokkos::parallel_for(Kokkos::ThreadVectorRange(member, tile), [&](int n) { s.total[r][n] = 0.0F; });
    });
    for (std::int64_t k0 = 0, b = 0; k0 < w.k; k0 += scale_block, ++b) {
      int const depth = static_cast<int>(w.k - k0 < scale_block ? w.k - k0 : scale_block);
      Kokkos::parallel_for(Kokkos::TeamThreadRange(member, depth), [&](int k) {
        Kokkos::parallel_for(Kokkos::ThreadVectorRange(member, tile),
                             [&](int n) { s.weight[k][n] = n < width ? weight_value<F>(weights.row(e, n0 + n)[k0 + k]) : 0.0F; });
      });
      member.team_barrier();
      Kokkos::parallel_for(Kokkos::TeamThreadRange(member, count), [&](int r) {
        std::int64_t const source = input.source(row0 + r);
        Kokkos::parallel_for(Kokkos::ThreadVectorRange(member, tile), [&](int n) { s.block[r][n] = 0.0F; });
        for (int k = 0; k < depth; ++k) {
          float const x = row_value(input.rows, source, k0 + k);
          Kokkos::parallel_for(Kokkos::ThreadVectorRange(member, tile),
                               [&](int n) { s.block[r][n] = multiply_add(x, s.weight[k][n], s.block[r][n]); });
        }
        float const scale = row_scale(input.rows, source, b);
        Kokkos::parallel_for(Kokkos::ThreadVectorRange(member, width), [&](int n) {
          s.total[r][n] = multiply_add(s.block[r][n], scale * weight_scale(weights, e, n0 + n, b), s.total[r][n]);
        });
      });
      member.team_barrier();
    }
    matrix_view<float> const target = out;
    Kokkos::parallel_for(Kokkos::TeamThreadRange(member, count), [&](int r) {
      Kokkos::parallel_for(Kokkos::ThreadVectorRange(member, width), [&](int n) { target(row0 + r, n0 + n) = s.total[r][n]; });
    });
    member.team_barrier();
  }
};

}  // namespace moesaic::inline MOESAIC_ABI::kokkos
