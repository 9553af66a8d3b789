// The Hopper grouped GEMM for experts with few rows: weight rows take the wgmma's 64 rows, tokens its narrow side, and a deep pipeline
// streams the weights. Computes what row_gemm computes, from the same arguments.
#pragma once

#include <cstdint>

#include <moesaic/cuda/gemm/sm90/epilogue.hpp>
#include <moesaic/cuda/gemm/sm90/persistent.hpp>
#include <moesaic/cuda/ptx/dependent_launch.hpp>
#include <moesaic/cuda/ptx/warpgroup.hpp>
#include <moesaic/cuda/ptx/wgmma.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::sm90 {

namespace detail {

template <class Tile, class Epilogue, class Rows>
struct weight_gemm : persistent_cta<Tile, Epilogue, Rows, 1> {
  using cta = persistent_cta<Tile, Epilogue, Rows, 1>;
  using cta::at, cta::empty, cta::full, cta::p, cta::shared, cta::walk, cta::gathers;
  using typename cta::tile;
  static constexpr int matrices = Epilogue::matrices, half = Tile::rows / 2, stages = Tile::stages;
  static_assert(matrices == Tile::matrices);

  __device__ void load_weights(int stage, int kb, int group, tile const& t, std::uint64_t policy) const {
    int const e = p.tiles.expert(group);
    ptx::mbarrier_arrive_expect(full + stage, gathers ? matrices * Tile::weight_bytes : Tile::stage_bytes + Tile::a_scale_bytes);
#pragma unroll
    for (int i = 0; i < matrices; ++i) {
      weight_operand const& w = p.weights(i, group);
      ptx::tma_load(shared + Tile::weights_at(stage) + i * Tile::weight_bytes, w.map(e), kb * scale_block, w.row(e, t.n0), full + stage,
                    policy);
    }
  }
  __device__ void load_rows(int stage, int kb, tile const& t, std::uint64_t policy) const {
    ptx::tma_load(shared + Tile::tokens_at(stage), &p.x.codes, kb * scale_block, t.row, full + stage, policy);
    ptx::tma_load(shared + Tile::a_scales_at(stage), &p.x.scales, t.row / scale_slack * scale_slack, kb, full + stage, policy);
  }

  /// One thread's work, or where it gathers the warp's.
  __device__ void produce() const {
    std::uint64_t const once = ptx::evict_first(), keep = ptx::evict_last();
    bool const copies = !gathers || threadIdx.x % 32 == 0;
    [[maybe_unused]] auto gather = gather_of_cta();
    tile_walk w = walk();
    int ahead = 0;  // K blocks of the first tile whose weights are under way before the kernel ahead has made the rows
    if (w.here()) {
      tile const t = at(w);
      ahead = p.k_blocks < stages ? p.k_blocks : stages;
      for (int kb = 0; kb < ahead; ++kb)
        if (copies) load_weights(kb, kb, w.group, t, once);
    }
    ptx::wait_for_dependency();
    pipeline_place pipe;
    for (; w.here(); w.next()) {
      tile const t = at(w);
      if constexpr (gathers) gather.begin_tile(t.row, t.rows_left);
      for (int kb = 0; kb < p.k_blocks; ++kb, --ahead, pipe.next(stages)) {
        if (ahead <= 0) {
          ptx::mbarrier_wait(empty + pipe.stage, pipe.parity ^ 1U);
          if (copies) load_weights(pipe.stage, kb, w.group, t, once);
        }
        if constexpr (gathers)
          gather.bring(shared + Tile::tokens_at(pipe.stage), shared + Tile::a_scales_at(pipe.stage), kb);
        else
          load_rows(pipe.stage, kb, t, keep);
      }
    }
    if constexpr (gathers) gather.finish();
  }
  __device__ auto gather_of_cta() const {
    if constexpr (gathers)
      return row_gather<Tile, 1>(p.x, full, static_cast<int>(threadIdx.x) % 32);
    else
      return 0;
  }

  __device__ void multiply_all() const {
    constexpr std::uint64_t high = ptx::descriptor_high;
    int const thread = static_cast<int>(threadIdx.x), warp = thread / 32, lane = thread % 32, group = warp / 4;
    std::uint32_t const w_low = ptx::descriptor_low(ptx::shared_address(shared + Tile::weights_at(0) + group * 64 * scale_block));
    std::uint32_t const x_low = ptx::descriptor_low(ptx::shared_address(shared + Tile::tokens_at(0)));
    pipeline_place pipe;
    for (tile_walk w = walk(); w.here(); w.next()) {
      tile const t = at(w);
      float const* weight_scale[matrices];
#pragma unroll
      for (int i = 0; i < matrices; ++i)
        weight_scale[i] = p.weights(i, w.group).scales[p.tiles.expert(w.group)] + t.n0 / scale_block * p.k_blocks;
      float total[matrices][half];
#pragma unroll
      for (int i = 0; i < matrices; ++i)
#pragma unroll
        for (int j = 0; j < half; ++j) total[i][j] = 0.0F;

      for (int kb = 0; kb < p.k_blocks; ++kb) {
        float scale[matrices];
#pragma unroll
        for (int i = 0; i < matrices; ++i) scale[i] = __ldg(weight_scale[i] + kb);
        ptx::mbarrier_wait(full + pipe.stage, pipe.parity);
        auto const* const row_scale =
            reinterpret_cast<float const*>(shared + Tile::a_scales_at(pipe.stage)) + cta::first_scale(t) + lane % 4 * 2;
        std::uint32_t const at_stage = static_cast<std::uint32_t>(pipe.stage) * (Tile::stage_bytes >> 4);
        float sum[matrices][half];
#pragma unroll
        for (int i = 0; i < matrices; ++i) ptx::wgmma_touch(sum[i]);
        std::uint32_t const a = __shfl_sync(0xffffffffU, w_low + at_stage, 0), b = __shfl_sync(0xffffffffU, x_low + at_stage, 0);
        ptx::wgmma_fence();
#pragma unroll
        for (int i = 0; i < matrices; ++i)
#pragma unroll
          for (unsigned k = 0; k < 4; ++k)
            ptx::wgmma_e4m3<Tile::rows>::issue(sum[i], high | (a + static_cast<unsigned>(i) * (Tile::weight_bytes >> 4) + 2U * k),
                                               high | (b + 2U * k), static_cast<int>(k));
        ptx::wgmma_commit();
        ptx::wgmma_wait<0>();
#pragma unroll
        for (int i = 0; i < matrices; ++i) ptx::wgmma_touch(sum[i]);
#pragma unroll
        for (int j = 0; j < half / 4; ++j) {
          float const of_token[2] = {row_scale[8 * j], row_scale[8 * j + 1]};
#pragma unroll
          for (int i = 0; i < matrices; ++i) {
            float const s[2] = {of_token[0] * scale[i], of_token[1] * scale[i]};
#pragma unroll
            for (int v = 0; v < 4; ++v) total[i][4 * j + v] = __fmaf_rn(sum[i][4 * j + v], s[v % 2], total[i][4 * j + v]);
          }
        }
        __syncwarp();
        if (lane == 0) ptx::mbarrier_arrive(empty + pipe.stage);
        pipe.next(stages);
      }
      p.epilogue.columns(total, shared + Tile::staging_at, column_place{t.row, t.rows_left, t.n0, warp, lane});
    }
  }
};

}  // namespace detail

/// Tile::ctas CTAs an SM, Tile::threads threads, Tile::shared_bytes(groups) bytes of dynamic shared memory.
template <class Tile, class Epilogue, class Rows>
__global__ void __launch_bounds__(Tile::threads, Tile::ctas)
    weight_gemm_kernel([[maybe_unused]] __grid_constant__ gemm_arguments<Epilogue, Rows> const p) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ __align__(1024) char shared[];
  int const warp = static_cast<int>(threadIdx.x) / 32;
  if (!p.reads_early) ptx::wait_for_dependency();
  detail::weight_gemm<Tile, Epilogue, Rows> const work{detail::weight_gemm<Tile, Epilogue, Rows>::begin(p, shared)};
  if (warp == math_warpgroups * 4) {
    if (gemm_arguments<Epilogue, Rows>::gathers || ptx::elect_one()) work.produce();
  } else {
    ptx::follow_dependency();
    work.multiply_all();
  }
#endif
}

}  // namespace moesaic::inline MOESAIC_ABI::cuda::sm90
