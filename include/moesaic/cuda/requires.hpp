// Whether the current device can run what a file was compiled for: asked once, before kernels are launched.
#pragma once

#include <cuda_runtime_api.h>

#include <moesaic/core/status.hpp>
#include <moesaic/cuda/launch.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

namespace detail {
static __global__ void probe() {}
}  // namespace detail

/// Ok if there is a current device and the program holds code for it, as it was compiled; else errc::device_refused with the runtime's
/// error as its value (cudaErrorNoDevice, cudaErrorInsufficientDriver, cudaErrorNoKernelImageForDevice, …). Launches nothing; starts the
/// runtime if nobody has.
static inline status runs_on_this_device() {
  cudaFuncAttributes attributes{};
  cudaError_t const e = ::cudaFuncGetAttributes(&attributes, detail::probe);
  if (e != cudaSuccess) static_cast<void>(::cudaGetLastError());  // an answer to a question, and no error that others should find
  return status_of(e, "device");
}

}  // namespace moesaic::inline MOESAIC_ABI::cuda
