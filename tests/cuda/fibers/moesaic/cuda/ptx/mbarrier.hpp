// The stand-in for the header of the same name: eight bytes of shared memory that count.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <cstring>

#include <moesaic/core/macros.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::ptx {

/// Shared memory has 18 bits of address here as there, by which fibers::shared_at finds it again.
inline std::uint32_t shared_address(void const* p) { return ::fibers::shared_address(p); }

namespace detail {
struct counting_barrier {
  std::uint8_t arrivals, pending, phase, mark;  // mark: it has been made
  std::int32_t bytes;                           // announced and not yet come, or come and not yet announced
};
static_assert(sizeof(counting_barrier) == 8);

template <class F>
void change(std::uint64_t* bar, F const& f) {
  counting_barrier b;
  std::memcpy(&b, bar, sizeof(b));
  if (b.mark != 0xB7) ::fibers::fail("an mbarrier that nobody has initialised");
  f(b);
  if (b.pending == 0 && b.bytes == 0) {
    b.phase ^= 1U;
    b.pending = b.arrivals;
    ::fibers::wake(bar);
  }
  std::memcpy(bar, &b, sizeof(b));
}
}  // namespace detail

inline void mbarrier_init(std::uint64_t* bar, std::uint32_t arrivals) {
  if (arrivals == 0 || arrivals > 255) ::fibers::fail("an mbarrier of more than 255 arrivals, or none");
  detail::counting_barrier const b{static_cast<std::uint8_t>(arrivals), static_cast<std::uint8_t>(arrivals), 0, 0xB7, 0};
  std::memcpy(bar, &b, sizeof(b));
}
inline void fence_mbarrier_init() {}

inline void mbarrier_arrive_expect(std::uint64_t* bar, std::uint32_t bytes) {
  detail::change(bar, [bytes](detail::counting_barrier& b) {
    if (b.pending == 0) ::fibers::fail("more arrivals in a phase than the mbarrier counts");
    b.bytes += static_cast<std::int32_t>(bytes);
    --b.pending;
  });
}
inline void mbarrier_arrive(std::uint64_t* bar) { mbarrier_arrive_expect(bar, 0); }

inline void mbarrier_wait(std::uint64_t* bar, std::uint32_t parity) {
  for (;;) {
    detail::counting_barrier b;
    std::memcpy(&b, bar, sizeof(b));
    if (b.mark != 0xB7) ::fibers::fail("an mbarrier that nobody has initialised");
    if (b.phase != parity) return;
    ::fibers::sleep(bar, "at an mbarrier");
  }
}

}  // namespace moesaic::inline MOESAIC_ABI::cuda::ptx
