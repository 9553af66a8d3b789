// Dense products by cuBLASLt on the shapes of the expert GEMMs: what a grouped GEMM without any grouping would reach.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "bench.hpp"
#include "dense_check.hpp"

namespace gpu {

inline void product_of(bench& b, cublaslt& lt, dense_sets const& sets, dense kind, bool sustained) {
  product const p = sets.shape();
  std::string const shape = std::to_string(p.m) + "x" + std::to_string(p.n) + "x" + std::to_string(p.k);
  b.guarded(std::string("cublaslt ") + name(kind) + " " + shape, [&] {
    cublaslt::plan plan(lt, kind, p.m, p.n, p.k, sets.at(0));
    // The heuristic's first choice is not always the fastest: all are timed in turn, and the fastest is what others are compared with.
    std::vector<int> runs;
    for (int candidate = 0; candidate < plan.candidates(); ++candidate) try {
        plan.run(sets.at(0), candidate, b.s);
        runs.push_back(candidate);
      } catch (std::exception const& e) {
        std::printf("        candidate %d of %s %s: %s\n", candidate, name(kind), shape.c_str(), e.what());
      }
    if (runs.empty()) throw std::runtime_error("no candidate runs");
    auto const timed = time_in_turn(b.s, static_cast<int>(runs.size()),
                                    [&](int v, int i) { plan.run(sets.at(i % dense_sets::sets), runs[static_cast<std::size_t>(v)], b.s); });
    auto const fastest = std::min_element(timed.begin(), timed.end(), [](times const& x, times const& y) { return x.median < y.median; });
    int const best = runs[static_cast<std::size_t>(fastest - timed.begin())];
    double const first_us = timed.front().median;
    auto const report = [&](char const* item, times const& t, watch& clocks) {
      double const rate = p.operations() / t.median * 1e-6;
      json line;
      line.add("item", item).add("kind", name(kind)).add("m", p.m).add("n", p.n).add("k", p.k).add(t).add("tflops", rate);
      line.add("heuristic_tflops", p.operations() / first_us * 1e-6).add("candidate", best).add("candidates", plan.candidates());
      clocks.add_to(line);
      double const error = sets.worst_error(kind, 0);
      line.add("worst_error", error).add("correct", error < 0.05);
      b.out.write(line);
      std::printf("%-10s %8.1f TFLOP/s (%.1f to %.1f)   %-16s %-18s %9.1f us, error %.4f%s, %u MHz, %u W\n", item, rate,
                  p.operations() / t.max * 1e-6, p.operations() / t.min * 1e-6, name(kind), shape.c_str(), t.median, error,
                  error < 0.05 ? "" : " WRONG", clocks.sm_mhz(), clocks.watts());
      if (!(error < 0.05)) ++b.failures;
    };
    auto const run = [&](int i) { plan.run(sets.at(i % dense_sets::sets), best, b.s); };
    {
      watch clocks(b.clocks);
      report("gemm", time_calls(b.s, run, 21, 4000.0), clocks);
    }
    if (sustained) {
      watch clocks(b.clocks);
      report("sustained", time_calls(b.s, run, 20, 50'000.0), clocks);
    }
  });
}

inline void products(bench& b, std::string const& path) {
  cublaslt lt(path);
  std::printf("cuBLASLt %zu from %s\n", lt.version(), path.c_str());
  b.out.write(json().add("item", "cublaslt").add("version", lt.version()).add("path", path));
  b.guarded("bf16", [&] {
    dense_sets const sets({8192, 8192, 8192}, false, b.s);
    product_of(b, lt, sets, dense::bf16, true);
  });
  for (product const p : {product{4096, 4096, 7168},
                          {8192, 4096, 7168},
                          {32768, 4096, 7168},
                          {4096, 7168, 2048},
                          {8192, 7168, 2048},
                          {32768, 7168, 2048},
                          {4096, 7168, 16384}})
    b.guarded("operands", [&] {
      dense_sets const sets(p, true, b.s);
      bool const sustained = p.m == 32768 && p.k == 7168;
      for (dense const kind : {dense::e4m3_tensor, dense::e4m3_tensor_fast, dense::e4m3_block})
        product_of(b, lt, sets, kind, sustained && kind != dense::e4m3_tensor);
    });
}

}  // namespace gpu
