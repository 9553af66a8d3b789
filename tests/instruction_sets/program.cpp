// A program for one instruction set that computes before main.
#include <cstdio>
#include <moesaic/cpu.hpp>

#include "tiny_layer.hpp"

namespace {
float const before_main = tiny_layer(moesaic::cpu::on{moesaic::cpu::serial_pool{}});
}

int main() {
  std::printf("computed %.6f before main\n", before_main);
  return tiny_layer_is_right(before_main) ? 0 : 2;
}
