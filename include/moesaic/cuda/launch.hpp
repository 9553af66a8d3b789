// Every row-wise stage as a kernel: launcher<F> runs the functor F, the primary template with a block for each item. Stages with a kernel
// of their own are partial specialisations, in files of their own that on.hpp includes; all give the functor's bits.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <type_traits>

#include <moesaic/core/status.hpp>
#include <moesaic/cuda/group.hpp>
#include <moesaic/cuda/ptx/dependent_launch.hpp>

#if !defined(__CUDACC__)
#error "moesaic's CUDA backend is kernels: compile the file that includes it with nvcc"
#endif

namespace moesaic::inline MOESAIC_ABI::cuda {

/// cudaSuccess as ok, anything else as errc::device_refused with the code as its value.
inline status status_of(cudaError_t e, char const* what = "kernel launch") {
  if (e == cudaSuccess) return {};
  return {errc::device_refused, what, "", static_cast<long long>(e), 0};
}

/// What a launch is told beside its arguments. Grids hold 2³¹−1 × 65535 blocks.
struct launch_shape {
  unsigned blocks = 1, threads = 128;
  unsigned shared_bytes = 0;  ///< dynamic shared memory
  unsigned columns = 1;       ///< of blocks: gridDim.y
  unsigned cluster = 1;       ///< neighbouring blocks that share their shared memory (compute capability 9.0); divides `blocks`
  bool cooperative = false;   ///< all blocks run at once or none does: they may wait for each other (ptx/grid.hpp)
  bool overlaps = false;      ///< may start before the kernel ahead of it in the stream is over: it begins with ptx::follow_dependency
};

// Two shared objects that were built for different architectures must not take each other's launchers: what starts a kernel is hidden in
// its object. By pragma, since nvcc refuses the attribute where a template's argument has internal linkage.
#pragma GCC visibility push(hidden)

/// Of the current device; 1 where there is none, so that the launch itself says so.
inline int multiprocessors_here() {
  int device = 0, count = 0;
  if (::cudaGetDevice(&device) != cudaSuccess) return 1;
  if (::cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device) != cudaSuccess || count < 1) return 1;
  return count;
}

/// Whether the current device would run code of `kernel` that was compiled for compute capability 9.0 or later, which alone has clusters
/// and waits for other kernels. Asks the runtime, which knows: a program may hold the kernel for several architectures, and PTX of an
/// earlier one for a later device.
template <class Kernel>
bool is_code_for_90(Kernel* kernel) {
  cudaFuncAttributes a{};
  if (::cudaFuncGetAttributes(&a, reinterpret_cast<void const*>(kernel)) == cudaSuccess) return a.ptxVersion >= 90;
  static_cast<void>(::cudaGetLastError());  // the launch will say the same
  return false;
}

/// Enqueues a kernel; it overlaps only where its code can wait. Up to 48 KB of shared memory need no more; kernels that take more say so to
/// allow_shared first. Capturable.
template <class... Parameters, class... Arguments>
status start(cudaStream_t stream, launch_shape const& shape, void (*kernel)(Parameters...), Arguments const&... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(shape.blocks, shape.columns);
  config.blockDim = dim3(shape.threads);
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = stream;
  cudaLaunchAttribute attribute[3] = {};
  config.attrs = attribute;
  if (shape.cluster > 1) {
    attribute[config.numAttrs].id = cudaLaunchAttributeClusterDimension;
    attribute[config.numAttrs].val.clusterDim.x = shape.cluster;
    attribute[config.numAttrs].val.clusterDim.y = 1;
    attribute[config.numAttrs++].val.clusterDim.z = 1;
  }
  if (shape.cooperative) {
    attribute[config.numAttrs].id = cudaLaunchAttributeCooperative;
    attribute[config.numAttrs++].val.cooperative = 1;
  }
  if (shape.overlaps && is_code_for_90(kernel)) {
    attribute[config.numAttrs].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute[config.numAttrs++].val.programmaticStreamSerializationAllowed = 1;
  }
  return status_of(::cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...));
}

/// Lets a kernel have more than 48 KB of shared memory. Cheap; not a stream operation, so it may be called during capture.
template <class Kernel>
status allow_shared(Kernel* kernel, int bytes) {
  return status_of(::cudaFuncSetAttribute(reinterpret_cast<void const*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize, bytes),
                   "shared memory");
}

namespace detail {

template <int Threads, class F>
__global__ void __launch_bounds__(Threads) run_stage(std::int64_t n, F const f) {
  static_assert(sizeof(typename F::scratch) <= 40 * 1024, "a stage's scratch must fit the static shared memory of a block");
  __shared__ typename F::scratch scratch;
  __shared__ std::uint32_t slot[32];
  ptx::follow_dependency();
  for (std::int64_t i = blockIdx.x; i < n; i += gridDim.x) {
    f(block_group{slot}, i, scratch);
    __syncthreads();  // the next item may write at once what this one's threads have read last
  }
}

}  // namespace detail

/// f(group, i, scratch) for each i in [0, n), n < 2^31: a block of 128 threads for each item; a stage with one item takes a large block.
/// For every stage, and for shapes and addresses that a stage's own kernel does not take.
template <class F>
status start_any(cudaStream_t stream, std::int64_t n, F const& f) {
  static_assert(std::is_trivially_copyable_v<F>, "a stage is copied to the device");
  if (n <= 0) return {};
  std::int64_t const blocks = n < 0x7fff'ffff ? n : 0x7fff'ffff;
  if (n == 1) return start(stream, {.threads = 512, .overlaps = true}, detail::run_stage<512, F>, n, f);
  return start(stream, {.blocks = static_cast<unsigned>(blocks), .overlaps = true}, detail::run_stage<128, F>, n, f);
}

/// Runs stage F, with a kernel of its own where there is a specialisation.
template <class F>
struct launcher {
  static status launch(cudaStream_t stream, std::int64_t n, F const& f) { return start_any(stream, n, f); }
};

#pragma GCC visibility pop

}  // namespace moesaic::inline MOESAIC_ABI::cuda
