// The portable kernels of the Kokkos backend under conformance, in a build with cpu/ switched off.
#include <moesaic/kokkos.hpp>
#include <string>
#include <type_traits>

// This clashes with cpu/pack.hpp, should that come in after all.
namespace moesaic::inline MOESAIC_ABI::cpu {
void strip();
}

namespace stamp {
inline constexpr char const* name = "kokkos portable";
using context_type = moesaic::kokkos::portable<Kokkos::OpenMP>;
static_assert(std::is_base_of_v<context_type, moesaic::kokkos::on<Kokkos::OpenMP>>);
struct setting {
  int threads, team_size;
};
inline constexpr setting settings[] = {{1, 1}, {2, 1}, {2, 2}};
inline context_type context(setting s) { return context_type(Kokkos::OpenMP(s.threads), s.team_size); }
inline std::string describe(setting s) { return std::to_string(s.threads) + " threads in teams of " + std::to_string(s.team_size); }
inline void finish() { Kokkos::fence(); }
}  // namespace stamp

#include "kokkos_main.hpp"
#include "parts.hpp"
