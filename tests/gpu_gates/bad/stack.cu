// An array that is indexed by what only the run knows: local memory, a stack frame, LDL and STL.
__global__ void stack(int const* at, float* y, int n) {
  float part[16] = {};
  for (int i = 0; i < n; ++i) part[at[i] & 15] += 1.0F;
  for (int i = 0; i < n; ++i) y[i] = part[at[n + i] & 15];
}
