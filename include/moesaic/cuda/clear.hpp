// Memory zeroed by a kernel, which starts early as the others do: a memset between two kernels would part them.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include <moesaic/core/status.hpp>
#include <moesaic/core/views.hpp>
#include <moesaic/cuda/launch.hpp>
#include <moesaic/semantics/group.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

/// Item i: words [1024 i, 1024 (i + 1)) become 0.
struct clear_words {
  struct scratch {};
  static constexpr int each = 1024;

  std::uint32_t* word;
  std::int64_t count;

  template <group G>
  MOESAIC_HD void operator()(G const& g, std::int64_t i, scratch&) const {
    std::int64_t const left = count - i * each;
    std::uint32_t* const to = word + i * each;
    g.for_each(left < each ? static_cast<int>(left) : each, [=](int w) { to[w] = 0; });
  }
};

#pragma GCC visibility push(hidden)  // see cuda/launch.hpp

/// `words`: 4-byte aligned, a multiple of 4 bytes.
inline status start_clear(cudaStream_t stream, memory words) {
  auto const count = static_cast<std::int64_t>(words.bytes / 4);
  return start_any(stream, ceil_div(count, clear_words::each), clear_words{static_cast<std::uint32_t*>(words.data), count});
}

#pragma GCC visibility pop

}  // namespace moesaic::inline MOESAIC_ABI::cuda
