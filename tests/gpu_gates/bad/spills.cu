// More sums than 32 registers hold: ptxas spills.
__global__ void __launch_bounds__(1024, 2) spills(float const* x, float* y, int n) {
  float sum[48];
#pragma unroll
  for (int i = 0; i < 48; ++i) sum[i] = x[i * 1024 + threadIdx.x];
  for (int r = 0; r < n; ++r)
#pragma unroll
    for (int i = 0; i < 48; ++i) sum[i] = fmaf(sum[i], sum[(i + 1) % 48], 1.0F);
#pragma unroll
  for (int i = 0; i < 48; ++i) y[i * 1024 + threadIdx.x] = sum[i];
}
