// What every gate lets pass, and what lacks the instructions that a gate may ask for.
__global__ void fine(float4 const* x, float4* y, int n) {
  for (int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); i < n; i += static_cast<int>(gridDim.x * blockDim.x)) y[i] = x[i];
}
