// What the CPU kernels ask of threads: one function. They never start, bind or count threads themselves.
#pragma once

#include <concepts>
#include <cstdint>

#include <moesaic/core/macros.hpp>

namespace moesaic::inline MOESAIC_ABI::cpu {

namespace detail {
struct any_item_function {
  void operator()(std::int64_t) const {}
};
}  // namespace detail

/// p.parallel_for(n, f) calls f(i) once for each i in [0, n), on any thread and in any order, and returns when all calls have; what they
/// wrote is then visible to the caller. Results never depend on who ran what.
template <class P>
concept pool = requires(P& p, detail::any_item_function f) {
  p.parallel_for(std::int64_t{1}, f);
};

/// The caller's own thread.
struct serial_pool {
  template <class F>
  void parallel_for(std::int64_t n, F const& f) const {
    for (std::int64_t i = 0; i < n; ++i) f(i);
  }
};
static_assert(pool<serial_pool>);

}  // namespace moesaic::inline MOESAIC_ABI::cpu
