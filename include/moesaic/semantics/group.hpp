// The group: some threads that carry one row through a stage together. Every rule of the library is written against it, once; a backend
// supplies its own group (a team, a warp) or uses the serial one below, which is the reference.
#pragma once

#include <cstdint>

#include <moesaic/core/macros.hpp>
#include <moesaic/core/same_as.hpp>

namespace moesaic::inline MOESAIC_ABI {

/// Lanes of the fixed summation order: lane l adds the values l, l + 32, l + 64 … in that order, then the lanes are added pairwise,
/// halving 32 → 16 → … → 1. Written down because the order decides the bits, and a warp can do it without memory.
inline constexpr int sum_lanes = 32;

/// One thread. All operations are collective and end with every member seeing what the others wrote to the scratch.
///  for_each(n, f)  calls f(i) once for each i in [0, n); the calls are independent of each other
///  single(f)       calls f() once
///  max(n, f)       the largest, and min(n, f) the smallest of the u32 values f(0) … f(n−1), n > 0, known to all members
///  sum(n, f)       the sum of the fp32 values f(0) … f(n−1) in the order of sum_lanes, known to all members
struct serial_group {
  template <class F>
  MOESAIC_INLINE void for_each(int n, F const& f) const {
    MOESAIC_SIMD
    for (int i = 0; i < n; ++i) f(i);
  }

  template <class F>
  MOESAIC_INLINE void single(F const& f) const {
    f();
  }

  template <class F>
  MOESAIC_INLINE std::uint32_t max(int n, F const& f) const {
    std::uint32_t best = 0;
    for (int i = 0; i < n; ++i) {
      std::uint32_t const v = f(i);
      best = v > best ? v : best;
    }
    return best;
  }

  template <class F>
  MOESAIC_INLINE std::uint32_t min(int n, F const& f) const {
    std::uint32_t best = ~0U;
    for (int i = 0; i < n; ++i) {
      std::uint32_t const v = f(i);
      best = v < best ? v : best;
    }
    return best;
  }

  template <class F>
  MOESAIC_INLINE float sum(int n, F const& f) const {
    float lane[sum_lanes] = {};
    int first = 0;
    for (; first + sum_lanes <= n; first += sum_lanes)
      for (int l = 0; l < sum_lanes; ++l) lane[l] += f(first + l);
    for (int l = 0; first + l < n; ++l) lane[l] += f(first + l);
    for (int half = sum_lanes / 2; half > 0; half /= 2)
      for (int l = 0; l < half; ++l) lane[l] += lane[l + half];
    return lane[0];
  }
};

namespace detail {
struct any_index_function {
  MOESAIC_HD std::uint32_t operator()(int) const { return 0; }
};
struct any_float_function {
  MOESAIC_HD float operator()(int) const { return 0; }
};
struct any_action {
  MOESAIC_HD void operator()() const {}
};
}  // namespace detail

template <class G>
concept group = requires(G const& g, detail::any_index_function f, detail::any_float_function v, detail::any_action a) {
  g.for_each(1, f);
  g.single(a);
  { g.max(1, f) } -> detail::same_as<std::uint32_t>;
  { g.min(1, f) } -> detail::same_as<std::uint32_t>;
  { g.sum(1, v) } -> detail::same_as<float>;
};
static_assert(group<serial_group>);

}  // namespace moesaic::inline MOESAIC_ABI
