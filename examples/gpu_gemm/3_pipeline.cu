// Step 3, pipeline: six K blocks at a time are in shared memory or on their way. A warp of its own asks for them, and runs ahead of the
// products, into the next tile too: blocks stay, one on each multiprocessor, and walk all tiles.
#include "common.hpp"

namespace stairs {

namespace {

constexpr int stages = 6, threads = 128 + 32;

struct pipeline_memory {
  stage<1> stages_of[stages];
  char staging[4][staging_bytes];
  std::uint64_t full[stages], empty[stages];
};
static_assert(sizeof(pipeline_memory) <= sm90::shared_memory_limit);

__device__ void produce(pipeline_memory& s, operands const& o) {
  std::uint64_t const keep = ptx::evict_last();
  sm90::pipeline_place pipe;
  for (int index = static_cast<int>(blockIdx.x), tiles = o.rows / tile_rows * (n / block); index < tiles;
       index += static_cast<int>(gridDim.x)) {
    tile const t = tile_at<block>(index, o.rows);
    for (int kb = 0; kb < k_blocks; ++kb, pipe.next(stages)) {
      ptx::mbarrier_wait(s.empty + pipe.stage, pipe.parity ^ 1U);  // on a fresh barrier that phase is over
      load(s.stages_of[pipe.stage], o, t, kb, s.full + pipe.stage, keep);
    }
  }
}

/// Four warps, 128 x 128 of the output.
__device__ void multiply(pipeline_memory& s, operands const& o) {
  int const warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  sm90::pipeline_place pipe;
  for (int index = static_cast<int>(blockIdx.x), tiles = o.rows / tile_rows * (n / block); index < tiles;
       index += static_cast<int>(gridDim.x)) {
    tile const t = tile_at<block>(index, o.rows);
    float const* const w_scales = o.w_scales(t, 0);
    float total[2][1][64] = {};
    for (int kb = 0; kb < k_blocks; ++kb, pipe.next(stages)) {
      float const w_scale = __ldg(w_scales + kb);
      ptx::mbarrier_wait(s.full + pipe.stage, pipe.parity);
      stage<1> const& now = s.stages_of[pipe.stage];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float const* const x_scale = now.a_scales + half * 64 + first_row_of_64();
        float const scale = x_scale[0] * w_scale, scale_8_below = x_scale[8] * w_scale;
        float sum[64];
        start_products(sum, now.a + half * 64 * block, now.b[0]);
        finish_products(sum);
        if (half == 1) {  // all of the stage has been read: a warp says so
          __syncwarp();
          if (lane == 0) ptx::mbarrier_arrive(s.empty + pipe.stage);
        }
        promote(total[half][0], sum, scale, scale_8_below);
      }
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) store(total[half], o.out, s.staging[warp], t.row + half * 64 + warp * 16, t.column);
  }
}

__global__ void __launch_bounds__(threads, 1) pipeline_kernel(__grid_constant__ operands const o) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ __align__(1024) char shared[];
  auto& s = *reinterpret_cast<pipeline_memory*>(shared);
  if (threadIdx.x == 0) {
    for (int i = 0; i < stages; ++i) {
      ptx::mbarrier_init(s.full + i, 1);
      ptx::mbarrier_init(s.empty + i, 4);
    }
    ptx::fence_mbarrier_init();
  }
  __syncthreads();
  if (threadIdx.x >= 128) {
    if (ptx::elect_one()) produce(s, o);
  } else {
    multiply(s, o);
  }
#endif
}

}  // namespace

launch pipeline(problem const& p) {
  return [o = make_operands(p)](cudaStream_t s) {
    ok(sm90::launch_persistent(s, pipeline_kernel, 1, threads, static_cast<int>(sizeof(pipeline_memory)), false, o));
  };
}

}  // namespace stairs
