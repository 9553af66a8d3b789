// cuda::on{stream}: the CUDA backend.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include <moesaic/core/status.hpp>
#include <moesaic/cuda/gemm/portable.hpp>
#include <moesaic/cuda/hopper.hpp>
#include <moesaic/cuda/launch.hpp>
#include <moesaic/semantics/unpacked_weights.hpp>
#include <moesaic/tune/cuda_arch.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

namespace detail {

/// Of the current device; 1 where there is none, so that the launch itself says so.
inline int multiprocessors() {
  int device = 0, count = 0;
  if (::cudaGetDevice(&device) != cudaSuccess) return 1;
  if (::cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device) != cudaSuccess || count < 1) return 1;
  return count;
}

}  // namespace detail

/// The context of the CUDA backend: a stream of the current device; cheap to copy, safe to use from several threads. All arguments,
/// prepared weights and what they view must lie in memory that the device can reach, and stay there until the stream has done its work.
/// Work is enqueued on the stream; nothing here allocates, waits, or reads device memory from the host, so a call may be captured into a
/// graph. What the runtime refuses comes back as errc::device_refused. Arch: tune::sm80 (kernels for every GPU) or tune::sm90a (Hopper's).
///
/// Row-wise stages give the reference's bits. A GEMM gives the same bits in every run, and for a row the same in any batch.
template <class Arch = tune::sm80>
struct on;

template <>
struct on<tune::sm80> : unpacked_weights {
  cudaStream_t stream;
  int multiprocessors = detail::multiprocessors();

  explicit on(cudaStream_t s = nullptr, tune::sm80 = {}) : stream(s) {}

  template <class F>
  status launch(std::int64_t n, F const& f) const {
    return launcher<F>::launch(stream, n, f);
  }

  template <class Rows, weight_format F>
  status grouped_gemm(gemm_input<Rows> const& a, weight_matrices<F> const& w, std::int32_t const* expert_offsets,
                      matrix_view<float> out) const {
    return launch_portable_gemm(stream, multiprocessors, gemm_arguments<Rows, F>{a, w, expert_offsets, out});
  }
};

template <>
struct on<tune::sm90a> : hopper {
  explicit on(cudaStream_t s = nullptr, tune::sm90a = {}) : hopper{s, detail::multiprocessors()} {}
};

on()->on<>;
on(cudaStream_t)->on<>;
template <class Arch>
on(cudaStream_t, Arch) -> on<Arch>;

}  // namespace moesaic::inline MOESAIC_ABI::cuda
