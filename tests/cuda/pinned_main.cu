// main() of tests that hand the suite's own arrays to a GPU: see pinned_new.cpp. Without a GPU nothing is tested, which is said, and exit
// status 77.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <moesaic/cuda/requires.hpp>

#include "pinned_new.hpp"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  moesaic::status const device = moesaic::cuda::runs_on_this_device();
  if (!device) {
    auto const error = static_cast<cudaError_t>(device.value);
    std::printf("SKIPPED, nothing was tested: no GPU that runs this program: %s\n", cudaGetErrorString(error));
    return 77;
  }
  constexpr std::size_t bytes = std::size_t{3} << 29;
  void *memory = nullptr, *seen = nullptr;
  if (cudaHostAlloc(&memory, bytes, cudaHostAllocMapped | cudaHostAllocPortable) != cudaSuccess ||
      cudaHostGetDevicePointer(&seen, memory, 0) != cudaSuccess || seen != memory) {
    std::printf("no pinned memory that the device sees at the same address: %s\n", cudaGetErrorString(cudaGetLastError()));
    return 2;
  }
  cudaDeviceProp properties{};
  int device_number = 0, driver = 0;
  if (cudaGetDevice(&device_number) == cudaSuccess && cudaGetDeviceProperties(&properties, device_number) == cudaSuccess &&
      cudaDriverGetVersion(&driver) == cudaSuccess)
    std::printf("[ device   ] %s, compute capability %d.%d, %d multiprocessors, driver %d\n", properties.name, properties.major,
                properties.minor, properties.multiProcessorCount, driver);
  std::fflush(stdout);
  use_for_new(memory, bytes);
  return RUN_ALL_TESTS();
}
