// A wgmma whose sums are read while it may still run: ptxas serialises the pipeline (C7514 and its like) and exits with 0.
#include <cstdint>

__device__ inline void product(float (&d)[4], std::uint64_t a, std::uint64_t b) {
  asm volatile("wgmma.mma_async.sync.aligned.m64n8k32.f32.e4m3.e4m3 {%0, %1, %2, %3}, %4, %5, 1, 1, 1;"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "l"(a), "l"(b));
}
__global__ void __launch_bounds__(128, 1) serialised(std::uint64_t a, std::uint64_t b, float* y, int n) {
  float d[4] = {}, sum = 0.0F;
  for (int i = 0; i < n; ++i) {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
    product(d, a + static_cast<std::uint64_t>(i), b);
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
    sum += d[0] + d[1] + d[2] + d[3];
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
  }
  y[threadIdx.x] = sum;
}
