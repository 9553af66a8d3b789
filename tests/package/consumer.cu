// The program of a consumer of the CUDA backend: one whole layer is compiled into it, by nvcc and with no other flag than C++20 and its
// architectures. Whether there is a GPU is asked and not needed; conformance_cuda is for those who have one.
#include <cstdio>
#include <moesaic/cuda.hpp>

#include "tiny_layer.hpp"

int main() {
  auto* const layer = &tiny_layer<moesaic::cuda::on<>>;
  bool const runs = static_cast<bool>(moesaic::cuda::runs_on_this_device());
  std::printf("moesaic %d: cuda, %s a GPU\n", MOESAIC_VERSION, runs ? "with" : "without");
  return layer != nullptr ? 0 : 1;
}
