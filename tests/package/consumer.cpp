// The program of every consumer in these folders: one MoE layer on the CPU kernels; with CONSUMER_KOKKOS on Kokkos too.
#include <cstdio>
#include <moesaic/cpu.hpp>
#ifdef CONSUMER_KOKKOS
#include <moesaic/kokkos.hpp>
#endif

#include "tiny_layer.hpp"

int main() {
  float y = tiny_layer(moesaic::cpu::on{moesaic::cpu::serial_pool{}});
  std::printf("moesaic %d: cpu %.6f\n", MOESAIC_VERSION, y);
  if (!tiny_layer_is_right(y)) return 1;
#ifdef CONSUMER_KOKKOS
  Kokkos::ScopeGuard const guard;
  y = tiny_layer(moesaic::kokkos::on{Kokkos::DefaultHostExecutionSpace{}});
  std::printf("moesaic %d: kokkos %.6f\n", MOESAIC_VERSION, y);
  if (!tiny_layer_is_right(y)) return 1;
#endif
}
