// The Kokkos backend under conformance on host spaces, where it runs the kernels of cpu/: OpenMP instances of 1 and 2 threads.
#include <moesaic/kokkos.hpp>
#include <string>

namespace stamp {
inline constexpr char const* name = "kokkos";
using context_type = moesaic::kokkos::on<Kokkos::OpenMP>;
inline constexpr int settings[] = {1, 2};
inline context_type context(int threads) { return context_type(Kokkos::OpenMP(threads)); }
inline std::string describe(int threads) { return std::to_string(threads) + " threads"; }
inline void finish() { Kokkos::fence(); }
}  // namespace stamp

#include "kokkos_main.hpp"
#include "parts.hpp"
