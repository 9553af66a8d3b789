// A warning, of nvcc itself.
__global__ void warns(float* y) {
  int nobody_reads_it = 1;
  *y = 2.0F;
}
