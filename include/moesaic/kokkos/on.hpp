// kokkos::on{exec}: the Kokkos backend. Host spaces take the kernels of cpu/, every other space the portable ones.
#pragma once

#include <Kokkos_Core.hpp>
#include <type_traits>

#include <moesaic/kokkos/portable.hpp>
#if !defined(MOESAIC_KOKKOS_PORTABLE)
#include <moesaic/kokkos/host.hpp>
#endif

static_assert(KOKKOS_VERSION >= 40500 && KOKKOS_VERSION < 60000, "moesaic needs Kokkos 4.5 to 5.x (tested with 4.7.00)");

namespace moesaic::inline MOESAIC_ABI::kokkos {

#if defined(MOESAIC_KOKKOS_PORTABLE)  // cpu/ switched off: the portable kernels on host spaces too
inline namespace without_cpu {
template <class Exec>
struct on : portable<Exec> {
  explicit on(Exec const& e) : portable<Exec>(e) {}
};
}  // namespace without_cpu
#else
namespace detail {
template <class Exec, class Tuning>
using implementation =
    std::conditional_t<std::is_same_v<typename Exec::memory_space, Kokkos::HostSpace>, host<Exec, Tuning>, portable<Exec> >;
}

inline namespace with_cpu {
/// The context of the Kokkos backend, made from an execution space instance; cheap to copy. Prepared weights and all arguments must lie in
/// memory that the space can reach. On host spaces a call returns when its work is done, elsewhere when it is enqueued. Tuning: see
/// cpu::on.
template <class Exec, class Tuning = tune::native>
struct on : detail::implementation<Exec, Tuning> {
  explicit on(Exec const& e, Tuning = {}) : detail::implementation<Exec, Tuning>(e) {}
};
}  // namespace with_cpu
#endif

}  // namespace moesaic::inline MOESAIC_ABI::kokkos
