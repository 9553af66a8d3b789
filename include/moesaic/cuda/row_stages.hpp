// What every CUDA context has, whatever multiplies: a stream of a device, the row-wise stages, and the front in one launch.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include <moesaic/cuda/front.hpp>
#include <moesaic/cuda/launch.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

struct row_stages {
  cudaStream_t stream;
  int multiprocessors;

  template <class F>
  status launch(std::int64_t n, F const& f) const {
    return launcher<F>::launch(stream, n, f);
  }

  template <class L>
  static constexpr bool fuses_front = cuda::fuses_front<L>;
  template <class L>
  static constexpr std::size_t front_bytes(std::int64_t tokens) {
    return front_scratch_bytes<L>(tokens);
  }

  /// select and map in one launch; with x and quantised rows those as well: a row for each token, or with the number of shared rows behind
  /// them the rows of gather. See launch_front.
  template <class L, class... X>
  status front(select_experts<L> const& select, build_dispatch_map const& map, memory scratch, X const&... x) const {
    return launch_front(stream, multiprocessors, select, map, scratch, x...);
  }
};

}  // namespace moesaic::inline MOESAIC_ABI::cuda
