// cuda::on{stream}: the CUDA backend.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <moesaic/core/status.hpp>
#include <moesaic/cuda/activation.hpp>
#include <moesaic/cuda/combine.hpp>
#include <moesaic/cuda/gemm/portable.hpp>
#include <moesaic/cuda/hopper.hpp>
#include <moesaic/cuda/launch.hpp>
#include <moesaic/cuda/map.hpp>
#include <moesaic/cuda/permute.hpp>
#include <moesaic/cuda/portable_stages.hpp>
#include <moesaic/cuda/quantize.hpp>
#include <moesaic/cuda/select.hpp>
#include <moesaic/cuda/tables.hpp>
#include <moesaic/tune/cuda_arch.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

/// The context of the CUDA backend: a stream of the current device; cheap to copy, safe to use from several threads. All arguments,
/// prepared weights and what they view must lie in memory that the device can reach, and stay there until the stream has done its work
/// (tables of biases, which prepare() copies on the device, too: pinned or managed memory, since the host checks them).
/// Work is enqueued on the stream; nothing here allocates, waits, or reads device memory from the host, so a call may be captured into a
/// graph. What the runtime refuses comes back as errc::device_refused. Arch: tune::sm80 (kernels for every GPU) or tune::sm90a (Hopper's).
///
/// Row-wise stages give the reference's bits. A GEMM gives the same bits in every run, and for a row the same in any batch.
template <class Arch = tune::sm80>
struct on;

template <>
struct on<tune::sm80> : portable_stages {
  explicit on(cudaStream_t s = nullptr, tune::sm80 = {}) : portable_stages{s, multiprocessors_here()} {}

  /// Prepared weights are the caller's views; a table of pointers, which the host reads, is copied and need not stay.
  template <weight_format F>
  using prepared_matrices = weight_matrices<F>;

  template <weight_format F>
  std::size_t prepared_bytes(weight_matrices<F> const& w) const {
    return table_bytes(w);
  }

  template <weight_format F>
  status prepare(weight_matrices<F> const& from, memory to_memory, weight_matrices<F>& to) const {
    to = from;
    return copy_tables(stream, to, to_memory.data);
  }

  /// With shared_rows the shared expert's rows come first and are multiplied along.
  template <class Rows, weight_format F>
  status grouped_gemm(gemm_input<Rows> const& a, weight_matrices<F> const& w, std::int32_t const* expert_offsets, matrix_view<float> out,
                      weight_matrices<F> const* shared = nullptr, std::int64_t shared_rows = 0) const {
    return launch_portable_gemm(stream, multiprocessors,
                                gemm_arguments<Rows, F>{a, w, expert_offsets, out, given_or_none(shared), shared_rows});
  }
};

template <class Arch>
requires std::is_base_of_v<tune::sm90a, Arch>
struct on<Arch> : hopper<Arch> {
  explicit on(cudaStream_t s = nullptr, Arch = {}) : hopper<Arch>{{s, multiprocessors_here()}} {}
};

on()->on<>;
on(cudaStream_t)->on<>;
template <class Arch>
on(cudaStream_t, Arch) -> on<Arch>;

}  // namespace moesaic::inline MOESAIC_ABI::cuda
