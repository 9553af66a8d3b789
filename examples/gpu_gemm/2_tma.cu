// Step 2, TMA: one thread asks the copy engine for the tiles, which come swizzled and without a register; the others wait at an mbarrier.
#include "common.hpp"

namespace stairs {

namespace {

/// A tile of 128 x 128 for each block of 128 threads, as before.
__global__ void __launch_bounds__(128) tma_kernel(__grid_constant__ operands const o) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  __shared__ stage<1> s;
  __shared__ __align__(128) char staging[4][staging_bytes];
  __shared__ std::uint64_t full;
  int const warp = static_cast<int>(threadIdx.x) / 32;
  tile const t = tile_at<block>(static_cast<int>(blockIdx.x), o.rows);
  float const* const w_scales = o.w_scales(t, 0);
  if (threadIdx.x == 0) {
    ptx::mbarrier_init(&full, 1);  // one arrival, that of the thread which announces the bytes
    ptx::fence_mbarrier_init();
  }
  __syncthreads();

  float total[2][1][64] = {};
  for (int kb = 0; kb < k_blocks; ++kb) {
    if (threadIdx.x == 0) load(s, o, t, kb, &full, ptx::evict_last());
    ptx::mbarrier_wait(&full, static_cast<unsigned>(kb) % 2);  // each K block is a phase of the barrier, and phases alternate
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float sum[64];
      start_products(sum, s.a + half * 64 * block, s.b[0]);
      finish_products(sum);
      float const* const x_scale = s.a_scales + half * 64 + first_row_of_64();
      promote(total[half][0], sum, x_scale[0] * w_scales[kb], x_scale[8] * w_scales[kb]);
    }
    __syncthreads();
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) store(total[half], o.out, staging[warp], t.row + half * 64 + warp * 16, t.column);
#endif
}

}  // namespace

launch tma(problem const& p) {
  return [o = make_operands(p), blocks = p.tiles(block)](cudaStream_t s) {
    tma_kernel<<<static_cast<unsigned>(blocks), 128, 0, s>>>(o);
    ok(cudaGetLastError(), "tma");
  };
}

}  // namespace stairs
