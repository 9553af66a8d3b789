// The stand-in for the header of the same name.
#pragma once

#include <cuda_runtime_api.h>

#include <moesaic/core/macros.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::ptx {

template <int Registers>
void give_registers() {
  ::fibers::meet(~0U, "setmaxnreg.dec");
}
template <int Registers>
void take_registers() {
  ::fibers::meet(~0U, "setmaxnreg.inc");
}
inline void named_barrier(int id, int threads) { ::fibers::barrier_of_some(id, threads); }
inline bool elect_one() {
  ::fibers::meet(~0U, "elect.sync");
  return ::fibers::lane() == 0;
}

}  // namespace moesaic::inline MOESAIC_ABI::cuda::ptx
