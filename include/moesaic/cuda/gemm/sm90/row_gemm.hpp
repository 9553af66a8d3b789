// The Hopper grouped GEMM for experts with many rows: one CTA an SM walks all tiles; a producer thread keeps the copy engine busy, two
// warpgroups multiply with wgmma and promote each 128 columns' sums to fp32 totals with their scales.
#pragma once

#include <cstdint>

#include <moesaic/cuda/gemm/sm90/epilogue.hpp>
#include <moesaic/cuda/gemm/sm90/persistent.hpp>
#include <moesaic/cuda/ptx/dependent_launch.hpp>
#include <moesaic/cuda/ptx/warpgroup.hpp>
#include <moesaic/cuda/ptx/wgmma.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::sm90 {

namespace detail {

/// Scales of one K block: of a thread's two rows and of each piece's weights.
template <class Tile>
struct scales_of_block {
  float row[2];
  float piece[Tile::pieces];
};

template <class Tile, class Epilogue, class Rows>
struct row_gemm : persistent_cta<Tile, Epilogue, Rows, 4> {
  using cta = persistent_cta<Tile, Epilogue, Rows, 4>;
  using cta::at, cta::empty, cta::full, cta::p, cta::shared, cta::walk, cta::gathers;
  using typename cta::tile;
  static constexpr int pieces = Tile::pieces, half = scale_block / 2, stages = Tile::stages;
  static constexpr bool two = Epilogue::matrices == 2;
  using scales = scales_of_block<Tile>;
  static_assert(!two || pieces == 2);

  /// One thread's work, or where it gathers the warpgroup's.
  __device__ void produce() const {
    std::uint64_t const keep = ptx::evict_last();
    bool const copies = !gathers || threadIdx.x == 0;
    [[maybe_unused]] auto gather = gather_of_cta();
    pipeline_place pipe;
    for (tile_walk w = walk(); w.here(); w.next()) {
      tile const t = at(w);
      CUtensorMap const* map[Epilogue::matrices];
      int first[Epilogue::matrices];  // the tile's first row of weights
      int const e = p.tiles.expert(t.group);
#pragma unroll
      for (int i = 0; i < Epilogue::matrices; ++i) {
        weight_operand const& w_i = p.weights(i, t.group);
        map[i] = w_i.map(e);
        first[i] = w_i.row(e, t.n0);
      }
      if constexpr (gathers) gather.begin_tile(t.row, t.rows_left);
      for (int kb = 0; kb < p.k_blocks; ++kb, pipe.next(stages)) {
        ptx::mbarrier_wait(empty + pipe.stage, pipe.parity ^ 1U);
        std::uint64_t* const bar = full + pipe.stage;
        int const k0 = kb * scale_block;
        if (copies) {
          ptx::mbarrier_arrive_expect(bar, gathers ? pieces * Tile::piece_bytes : Tile::stage_bytes + Tile::a_scale_bytes);
          if constexpr (!gathers) {
            ptx::tma_load(shared + Tile::a_at(pipe.stage), &p.x.codes, k0, t.row, bar, keep);
            ptx::tma_load(shared + Tile::a_scales_at(pipe.stage), &p.x.scales, t.row / scale_slack * scale_slack, kb, bar, keep);
          }
#pragma unroll
          for (int i = 0; i < pieces; ++i)
            ptx::tma_load(shared + Tile::piece_at(pipe.stage, i), map[two ? i : 0], k0, two ? first[i] : first[0] + i * scale_block, bar,
                          keep);
        }
        if constexpr (gathers) gather.bring(shared + Tile::a_at(pipe.stage), shared + Tile::a_scales_at(pipe.stage), kb);
      }
    }
    if constexpr (gathers) gather.finish();
  }
  __device__ auto gather_of_cta() const {
    if constexpr (gathers)
      return row_gather<Tile, 4>(p.x, full, static_cast<int>(threadIdx.x));
    else
      return 0;
  }

  /// Starts the products of one piece of the stage.
  __device__ static void multiply(float (&sum)[half], std::uint32_t a, std::uint32_t b) {
    constexpr std::uint64_t high = ptx::descriptor_high;
    ptx::wgmma_touch(sum);
    ptx::wgmma_fence();
    a = __shfl_sync(0xffffffffU, a, 0);
    b = __shfl_sync(0xffffffffU, b, 0);
#pragma unroll
    for (int k = 0; k < 4; ++k)
      ptx::wgmma_e4m3<scale_block>::issue(sum, high | (a + 2U * static_cast<unsigned>(k)), high | (b + 2U * static_cast<unsigned>(k)), k);
    ptx::wgmma_commit();
  }

  /// total += sum · scales, one fma each.
  __device__ static void promote(float (&total)[half], float (&sum)[half], scales const& s, int piece) {
    float const of_row[2] = {s.row[0] * s.piece[piece], s.row[1] * s.piece[piece]};
#pragma unroll
    for (int i = 0; i < half; ++i) total[i] = __fmaf_rn(sum[i], of_row[i / 2 % 2], total[i]);
  }

  __device__ void multiply_all() const {
    int const warp = static_cast<int>(threadIdx.x) / 32 - 4, lane = static_cast<int>(threadIdx.x) % 32, group = warp / 4;
    char* const staging = shared + Tile::staging_at + warp * Tile::staging_bytes_per_warp;
    std::uint32_t const a_low = ptx::descriptor_low(ptx::shared_address(shared + Tile::a_at(0) + group * 64 * scale_block));
    std::uint32_t const b_low = ptx::descriptor_low(ptx::shared_address(shared + Tile::piece_at(0, 0)));
    constexpr std::uint32_t stage_step = Tile::stage_bytes >> 4, piece_step = Tile::piece_bytes >> 4;
    float const* const row_scale = reinterpret_cast<float const*>(shared + Tile::a_scales_at(0)) + warp * 16 + lane / 4;

    pipeline_place pipe;
    for (tile_walk w = walk(); w.here(); w.next()) {
      tile const t = at(w);
      float const* weight_scale[pieces];
#pragma unroll
      for (int i = 0; i < pieces; ++i)
        weight_scale[i] =
            p.weights(two ? i : 0, t.group).scales[p.tiles.expert(t.group)] + (t.n0 / scale_block + (two ? 0 : i)) * p.k_blocks;
      auto const load_scales = [&](int kb) {
        scales s;
        float const* const of_row = row_scale + pipe.stage * (Tile::a_scale_pitch / 4) + cta::first_scale(t);
        s.row[0] = of_row[0];
        s.row[1] = of_row[8];
#pragma unroll
        for (int i = 0; i < pieces; ++i) s.piece[i] = __ldg(weight_scale[i] + kb);
        return s;
      };
      auto const release = [&](int stage) {
        if (lane == 0) ptx::mbarrier_arrive(empty + stage);
      };
      auto const start = [&](float(&sum)[half], int piece) {
        std::uint32_t const at_stage = static_cast<std::uint32_t>(pipe.stage) * stage_step;
        multiply(sum, a_low + at_stage, b_low + at_stage + static_cast<std::uint32_t>(piece) * piece_step);
      };

      float total[pieces][half];
#pragma unroll
      for (int i = 0; i < pieces; ++i)
#pragma unroll
        for (int j = 0; j < half; ++j) total[i][j] = 0.0F;

      for (int kb = 0; kb < p.k_blocks; ++kb) {
        ptx::mbarrier_wait(full + pipe.stage, pipe.parity);
        scales const s = load_scales(kb);
#pragma unroll
        for (int i = 0; i < pieces; ++i) {
          float sum[half];
          start(sum, i);
          ptx::wgmma_wait<0>();
          ptx::wgmma_touch(sum);
          if (i + 1 == pieces) release(pipe.stage);
          promote(total[i], sum, s, i);
        }
        pipe.next(stages);
      }

      warp_place const place{std::int64_t{t.row} + warp * 16, t.rows_left - warp * 16, t.n0, lane};
      p.epilogue.rows(total, staging, place);
    }
  }
};

}  // namespace detail

/// One CTA an SM, Tile::threads threads, Tile::shared_bytes(groups) bytes of dynamic shared memory.
template <class Tile, class Epilogue, class Rows>
__global__ void __launch_bounds__(Tile::threads, 1)
    row_gemm_kernel([[maybe_unused]] __grid_constant__ gemm_arguments<Epilogue, Rows> const p) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ __align__(1024) char shared[];
  int const warp = static_cast<int>(threadIdx.x) / 32;
  if (!p.reads_early) ptx::wait_for_dependency();
  detail::row_gemm<Tile, Epilogue, Rows> const work{detail::row_gemm<Tile, Epilogue, Rows>::begin(p, shared)};
  ptx::follow_dependency();
  if (warp < 4) {
    ptx::give_registers<Tile::producer_registers>();
    if constexpr (gemm_arguments<Epilogue, Rows>::gathers)
      work.produce();
    else if (warp == 0 && ptx::elect_one())
      work.produce();
  } else {
    ptx::take_registers<Tile::math_registers>();
    work.multiply_all();
  }
#endif
}

}  // namespace moesaic::inline MOESAIC_ABI::cuda::sm90
