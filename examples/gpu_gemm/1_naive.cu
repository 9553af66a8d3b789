// Step 1, naive: the threads copy a K block of both operands to shared memory, the tensor cores multiply it, and so on, one after the
// other.
#include "common.hpp"

namespace stairs {

namespace {

/// Where 16 bytes of a tile lie: of eight rows the chunks of one column go to eight different groups of banks. TMA will do the same.
__host__ __device__ constexpr int swizzled(int row, int chunk) { return row * block + (chunk ^ row % 8) * 16; }
static_assert(swizzled(0, 3) == 48 && swizzled(1, 0) == 128 + 16 && swizzled(9, 7) == 9 * 128 + 6 * 16);

/// 128 rows of 128 codes, `from` is the first: eight times 16 bytes for each of 128 threads.
__device__ void copy_tile(char* to, std::uint8_t const* from) {
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    int const row = i * 16 + static_cast<int>(threadIdx.x) / 8, chunk = static_cast<int>(threadIdx.x) % 8;
    *reinterpret_cast<uint4*>(to + swizzled(row, chunk)) = __ldg(reinterpret_cast<uint4 const*>(from + std::int64_t{row} * k + chunk * 16));
  }
}

/// What threads have written to shared memory, wgmma reads by another way (the "async proxy"); this makes it see what was written.
__device__ void fence_for_wgmma() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

/// A tile of 128 x 128 for each block of 128 threads: one warpgroup, which has the tile's upper 64 rows and the lower ones in turn.
__global__ void __launch_bounds__(128) naive_kernel(problem const p) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  __shared__ stage<1> s;
  __shared__ __align__(128) char staging[4][staging_bytes];
  int const warp = static_cast<int>(threadIdx.x) / 32;
  tile const t = tile_at<block>(static_cast<int>(blockIdx.x), static_cast<int>(p.x.rows));
  std::uint8_t const* const x = p.x.codes + std::int64_t{t.row} * k;
  std::int64_t const w_row = std::int64_t{t.expert} * n + t.column;
  std::uint8_t const* const w = p.w + w_row * k;
  float const* const w_scales = p.w_scales + w_row / block * k_blocks;

  float total[2][1][64] = {};
  for (int kb = 0; kb < k_blocks; ++kb) {
    copy_tile(s.a, x + kb * block);
    copy_tile(s.b[0], w + kb * block);
    fence_for_wgmma();
    __syncthreads();
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float sum[64];
      start_products(sum, s.a + half * 64 * block, s.b[0]);
      finish_products(sum);
      float const* const x_scale = &p.x.scale(kb, t.row + half * 64 + first_row_of_64());
      promote(total[half][0], sum, x_scale[0] * w_scales[kb], x_scale[8] * w_scales[kb]);
    }
    __syncthreads();  // all have read the tiles: the next ones may come
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) store(total[half], p.out, staging[warp], t.row + half * 64 + warp * 16, t.column);
#endif
}

}  // namespace

launch naive(problem const& p) {
  return [p](cudaStream_t s) {
    naive_kernel<<<static_cast<unsigned>(p.tiles(block)), 128, 0, s>>>(p);
    ok(cudaGetLastError(), "naive");
  };
}

}  // namespace stairs
