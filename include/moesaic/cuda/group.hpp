// A block and a warp as groups: the same rules as the serial group, carried out by many threads, with its bits.
#pragma once

#include <cstdint>

#include <moesaic/semantics/group.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

// The members are host-device because the stages that call them are; their bodies are the device's alone.

namespace detail {

/// a + b that nvcc does not contract with the product that a may be.
MOESAIC_INLINE float plain_sum(float a, float b) {
#if defined(__CUDA_ARCH__)
  return ::__fadd_rn(a, b);
#else
  return a + b;
#endif
}

/// f(0) … f(n−1) added in the order of sum_lanes by the 32 threads of a warp; the sum is known to lane 0.
template <class F>
MOESAIC_INLINE float warp_sum([[maybe_unused]] int lane, [[maybe_unused]] int n, [[maybe_unused]] F const& f) {
  float s = 0.0F;
#if defined(__CUDA_ARCH__)
  for (int i = lane; i < n; i += sum_lanes) s = plain_sum(s, f(i));
  // Lanes from `half` on add what is not theirs; nobody reads it.
  for (int half = sum_lanes / 2; half > 0; half /= 2) s = plain_sum(s, ::__shfl_down_sync(~0U, s, static_cast<unsigned>(half)));
#endif
  return s;
}

}  // namespace detail

/// All threads of a one-dimensional block whose size is a multiple of 32. `slot` is shared memory of 32 words for what warps tell each
/// other. All threads call every operation together; each ends with a barrier.
struct block_group {
  std::uint32_t* slot;

  template <class F>
  MOESAIC_INLINE void for_each([[maybe_unused]] int n, [[maybe_unused]] F const& f) const {
#if defined(__CUDA_ARCH__)
    for (int i = static_cast<int>(threadIdx.x); i < n; i += static_cast<int>(blockDim.x)) f(i);
    ::__syncthreads();
#endif
  }

  template <class F>
  MOESAIC_INLINE void single([[maybe_unused]] F const& f) const {
#if defined(__CUDA_ARCH__)
    if (threadIdx.x == 0) f();
    ::__syncthreads();
#endif
  }

  template <class F>
  MOESAIC_INLINE std::uint32_t max([[maybe_unused]] int n, [[maybe_unused]] F const& f) const {
    std::uint32_t best = 0;
#if defined(__CUDA_ARCH__)
    for (int i = static_cast<int>(threadIdx.x); i < n; i += static_cast<int>(blockDim.x)) best = larger(best, f(i));
    best = ::__reduce_max_sync(~0U, best);
    tell(best);
    for (unsigned w = 0; w < blockDim.x / 32; ++w) best = larger(best, slot[w]);
    ::__syncthreads();
#endif
    return best;
  }

  template <class F>
  MOESAIC_INLINE std::uint32_t min(int n, F const& f) const {
    return ~max(n, [&](int i) { return ~f(i); });
  }

  template <class F>
  MOESAIC_INLINE float sum([[maybe_unused]] int n, [[maybe_unused]] F const& f) const {
    float total = 0.0F;
#if defined(__CUDA_ARCH__)
    if (threadIdx.x < sum_lanes) {
      total = detail::warp_sum(static_cast<int>(threadIdx.x), n, f);
      if (threadIdx.x == 0) slot[0] = __float_as_uint(total);
    }
    ::__syncthreads();
    total = __uint_as_float(slot[0]);
    ::__syncthreads();
#endif
    return total;
  }

 private:
  MOESAIC_INLINE static std::uint32_t larger(std::uint32_t a, std::uint32_t b) { return a > b ? a : b; }

  /// Each warp's value to everybody.
  MOESAIC_INLINE void tell([[maybe_unused]] std::uint32_t value) const {
#if defined(__CUDA_ARCH__)
    if (threadIdx.x % 32 == 0) slot[threadIdx.x / 32] = value;
    ::__syncthreads();
#endif
  }
};

/// The 32 threads of a warp, lane 0 … 31. All of them call every operation together.
struct warp_group {
  int lane;

  template <class F>
  MOESAIC_INLINE void for_each([[maybe_unused]] int n, [[maybe_unused]] F const& f) const {
#if defined(__CUDA_ARCH__)
    for (int i = lane; i < n; i += 32) f(i);
    ::__syncwarp();
#endif
  }

  template <class F>
  MOESAIC_INLINE void single([[maybe_unused]] F const& f) const {
#if defined(__CUDA_ARCH__)
    if (lane == 0) f();
    ::__syncwarp();
#endif
  }

  template <class F>
  MOESAIC_INLINE std::uint32_t max([[maybe_unused]] int n, [[maybe_unused]] F const& f) const {
    std::uint32_t best = 0;
#if defined(__CUDA_ARCH__)
    for (int i = lane; i < n; i += 32) {
      std::uint32_t const v = f(i);
      best = v > best ? v : best;
    }
    best = ::__reduce_max_sync(~0U, best);
    ::__syncwarp();
#endif
    return best;
  }

  template <class F>
  MOESAIC_INLINE std::uint32_t min(int n, F const& f) const {
    return ~max(n, [&](int i) { return ~f(i); });
  }

  template <class F>
  MOESAIC_INLINE float sum([[maybe_unused]] int n, [[maybe_unused]] F const& f) const {
    float total = 0.0F;
#if defined(__CUDA_ARCH__)
    total = ::__shfl_sync(~0U, detail::warp_sum(lane, n, f), 0);
    ::__syncwarp();
#endif
    return total;
  }
};

static_assert(group<block_group> && group<warp_group>);

}  // namespace moesaic::inline MOESAIC_ABI::cuda
