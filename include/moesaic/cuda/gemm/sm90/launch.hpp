// Starting the Hopper kernels: grid, shared memory, dependency on the kernel before.
#pragma once

#include <cuda_runtime_api.h>

#include <moesaic/cuda/gemm/sm90/row_gemm.hpp>
#include <moesaic/cuda/gemm/sm90/weight_gemm.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::sm90 {

/// A grid of `ctas` CTAs an SM. `overlaps`: the kernel may start before the one ahead of it in the stream is over. It reads x and writes
/// after that only, but expert_offsets and weights at once: they must have been there before the kernel ahead began.
template <class Arguments>
status launch_persistent(cudaStream_t stream, void (*kernel)(Arguments), int ctas, int threads, int shared_bytes, bool overlaps,
                         Arguments const& arguments) {
  int device = 0, processors = 0;
  if (cudaError_t const e = cudaGetDevice(&device); e != cudaSuccess) return {errc::device_refused, "cudaGetDevice", "", e};
  if (cudaError_t const e = cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device); e != cudaSuccess)
    return {errc::device_refused, "cudaDeviceGetAttribute", "", e};
  if (cudaError_t const e = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes); e != cudaSuccess)
    return {errc::device_refused, "cudaFuncSetAttribute", "", e};
  cudaLaunchAttribute attribute[1] = {};
  cudaLaunchConfig_t config{};
  config.gridDim = static_cast<unsigned>(processors * ctas);
  config.blockDim = static_cast<unsigned>(threads);
  config.dynamicSmemBytes = static_cast<std::size_t>(shared_bytes);
  config.stream = stream;
  config.attrs = attribute;
  if (overlaps) {
    attribute[config.numAttrs].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute[config.numAttrs++].val.programmaticStreamSerializationAllowed = 1;
  }
  if (cudaError_t const e = cudaLaunchKernelEx(&config, kernel, arguments); e != cudaSuccess)
    return {errc::device_refused, "kernel launch", "", e};
  return {};
}

template <class Tile, class Epilogue>
status launch_row_gemm(cudaStream_t stream, gemm_arguments<Epilogue> const& a, bool overlaps = false) {
  static_assert(Tile::shared_bytes(512) <= shared_memory_limit);
  return launch_persistent(stream, row_gemm_kernel<Tile, Epilogue>, Tile::ctas, Tile::threads, Tile::shared_bytes(a.groups()), overlaps, a);
}
template <class Tile, class Epilogue>
status launch_weight_gemm(cudaStream_t stream, gemm_arguments<Epilogue> const& a, bool overlaps = false) {
  static_assert(Tile::shared_bytes(512) <= shared_memory_limit);
  return launch_persistent(stream, weight_gemm_kernel<Tile, Epilogue>, Tile::ctas, Tile::threads, Tile::shared_bytes(a.groups()), overlaps,
                           a);
}

}  // namespace moesaic::inline MOESAIC_ABI::cuda::sm90
