// Tables of one pointer per expert: the host reads them, and kernels get a copy in device memory, by way of kernel arguments. So a table
// may lie in memory that only the host sees, and nothing has to wait for a copy.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include <moesaic/config/weights.hpp>
#include <moesaic/core/status.hpp>
#include <moesaic/core/views.hpp>
#include <moesaic/cuda/launch.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

namespace detail {

/// As many as fit the 4 KB that a kernel's arguments may take on every GPU.
template <class T>
struct addresses {
  static constexpr int most = 256;
  T const* of[most];
};

template <class T>
__global__ void __launch_bounds__(addresses<T>::most) store_addresses(addresses<T> const from, int count, T const** to) {
  int const e = static_cast<int>(threadIdx.x);
  if (e < count) to[e] = from.of[e];
}

#pragma GCC visibility push(hidden)  // see cuda/launch.hpp

/// a with its table, if it has one, copied to `to` [experts].
template <class T>
status copy_table(cudaStream_t stream, expert_array<T>& a, int experts, T const** to) {
  if (a.table == nullptr) return {};
  constexpr int most = addresses<T>::most;
  for (int first = 0; first < experts; first += most) {
    int const count = experts - first < most ? experts - first : most;
    addresses<T> part{};
    for (int e = 0; e < count; ++e) part.of[e] = a.table[first + e];
    if (status const s = start(stream, {1, static_cast<unsigned>(most)}, store_addresses<T>, part, count, to + first); !s) return s;
  }
  a.table = to;
  return {};
}

#pragma GCC visibility pop

}  // namespace detail

#pragma GCC visibility push(hidden)  // see cuda/launch.hpp

/// Bytes that the tables of `experts` matrices take.
template <weight_format F>
constexpr std::size_t table_bytes(weight_matrices<F> const& w) {
  return static_cast<std::size_t>(align_up(w.experts, 8)) * sizeof(void*) * (F == weight_format::e4m3_128x128 ? 2 : 1);
}

/// `w` with what tables it has copied into `memory`, 8-byte aligned device memory of table_bytes(w). Enqueued, not waited for.
template <weight_format F>
status copy_tables(cudaStream_t stream, weight_matrices<F>& w, void* memory) {
  auto** const first = static_cast<weight_code_t<F> const**>(memory);
  if (status const s = detail::copy_table(stream, w.codes, w.experts, first); !s) return s;
  if constexpr (F == weight_format::e4m3_128x128)
    return detail::copy_table(stream, w.scales, w.experts, reinterpret_cast<float const**>(first + align_up(w.experts, 8)));
  return {};
}

#pragma GCC visibility pop

}  // namespace moesaic::inline MOESAIC_ABI::cuda
