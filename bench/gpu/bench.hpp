// What the sections of a benchmark program share: the card, its clocks, a stream, where results go, and a fault that stops one item only.
#pragma once

#include <chrono>
#include <cstdio>
#include <string>

#include "clocks.hpp"

namespace gpu {

struct bench {
  cudaDeviceProp card{};
  management clocks;
  results out;
  stream s;
  int failures = 0;
  std::chrono::steady_clock::time_point const start = std::chrono::steady_clock::now();

  explicit bench(std::string const& path) : out(path) {
    int device = 0;
    ok(cudaGetDevice(&device));
    ok(cudaGetDeviceProperties(&card, device));
  }

  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); }

  template <class F>
  void guarded(std::string const& what, F const& f) {
    try {
      f();
    } catch (std::exception const& e) {
      ++failures;
      std::printf("FAILED  %s: %s\n", what.c_str(), e.what());
      out.write(json().add("item", what).add("error", e.what()));
    }
    std::fflush(stdout);
  }
};

}  // namespace gpu
