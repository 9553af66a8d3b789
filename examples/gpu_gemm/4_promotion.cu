// Step 4, promotion hidden: two warpgroups share the tensor cores, and while one promotes its sums the other multiplies. Their registers
// hold a tile of 128 x 256, so that each byte from the L2 cache is multiplied more often, too.
#include "common.hpp"

namespace stairs {

namespace {

constexpr int stages = 4, pieces = 2, columns = pieces * block, threads = 128 + sm90::math_warpgroups * 128;

struct promotion_memory {
  stage<pieces> stages_of[stages];
  char staging[sm90::math_warpgroups * 4][staging_bytes];
  std::uint64_t full[stages], empty[stages];
};
static_assert(sizeof(promotion_memory) <= sm90::shared_memory_limit);

/// As in step 3.
__device__ void produce(promotion_memory& s, operands const& o) {
  std::uint64_t const keep = ptx::evict_last();
  sm90::pipeline_place pipe;
  for (int index = static_cast<int>(blockIdx.x), tiles = o.rows / tile_rows * (n / columns); index < tiles;
       index += static_cast<int>(gridDim.x)) {
    tile const t = tile_at<columns>(index, o.rows);
    for (int kb = 0; kb < k_blocks; ++kb, pipe.next(stages)) {
      ptx::mbarrier_wait(s.empty + pipe.stage, pipe.parity ^ 1U);
      load(s.stages_of[pipe.stage], o, t, kb, s.full + pipe.stage, keep);
    }
  }
}

/// One warpgroup, its 64 rows and 256 columns, in two pieces. Nothing makes the two warpgroups take turns: both wait for the tensor cores
/// as soon as they have promoted, and who comes second waits for who came first.
__device__ void multiply(promotion_memory& s, operands const& o) {
  int const warp = static_cast<int>(threadIdx.x) / 32 - 4, lane = static_cast<int>(threadIdx.x) % 32, first = warp / 4 * 64;
  sm90::pipeline_place pipe;
  for (int index = static_cast<int>(blockIdx.x), tiles = o.rows / tile_rows * (n / columns); index < tiles;
       index += static_cast<int>(gridDim.x)) {
    tile const t = tile_at<columns>(index, o.rows);
    float const* const w_scales = o.w_scales(t, 0);
    float total[pieces][64] = {};
    for (int kb = 0; kb < k_blocks; ++kb, pipe.next(stages)) {
      float const w_scale[pieces] = {__ldg(w_scales + kb), __ldg(w_scales + k_blocks + kb)};
      ptx::mbarrier_wait(s.full + pipe.stage, pipe.parity);
      stage<pieces> const& now = s.stages_of[pipe.stage];
      float const* const at = now.a_scales + first + first_row_of_64();
      float const x_scale[2] = {at[0], at[8]};
#pragma unroll
      for (int i = 0; i < pieces; ++i) {
        float sum[64];
        start_products(sum, now.a + first * block, now.b[i]);
        finish_products(sum);
        if (i + 1 == pieces) {
          __syncwarp();
          if (lane == 0) ptx::mbarrier_arrive(s.empty + pipe.stage);
        }
        promote(total[i], sum, x_scale[0] * w_scale[i], x_scale[1] * w_scale[i]);
      }
    }
    store(total, o.out, s.staging[warp], t.row + warp * 16, t.column);
  }
}

__global__ void __launch_bounds__(threads, 1) promotion_kernel(__grid_constant__ operands const o) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ __align__(1024) char shared[];
  auto& s = *reinterpret_cast<promotion_memory*>(shared);
  if (threadIdx.x == 0) {
    for (int i = 0; i < stages; ++i) {
      ptx::mbarrier_init(s.full + i, 1);
      ptx::mbarrier_init(s.empty + i, sm90::math_warpgroups * 4);
    }
    ptx::fence_mbarrier_init();
  }
  __syncthreads();
  // 384 threads start with 168 registers each. Registers change hands between warpgroups, so the producer has four warps, three of them
  // idle.
  if (threadIdx.x < 128) {
    ptx::give_registers<24>();
    if (threadIdx.x < 32 && ptx::elect_one()) produce(s, o);
  } else {
    ptx::take_registers<240>();
    multiply(s, o);
  }
#endif
}

}  // namespace

launch promotion(problem const& p) {
  return [o = make_operands(p)](cudaStream_t s) {
    ok(sm90::launch_persistent(s, promotion_kernel, 1, threads, static_cast<int>(sizeof(promotion_memory)), false, o));
  };
}

}  // namespace stairs
