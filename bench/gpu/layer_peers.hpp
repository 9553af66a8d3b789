// What a layer is measured against: how fast this card reads, and cuBLASLt's dense products of as many rows, which route nothing, quantise
// nothing and have one expert's weights to read.
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "bandwidth.hpp"
#include "cold.hpp"
#include "dense_gemm.hpp"
#include "grouped_problem.hpp"

namespace gpu {

/// GB/s: the better of bulk copies and plain loads, as bench_gpu_ceilings found them best. `bytes` is a multiple of 64 KiB.
inline double read_rate(std::uint8_t const* from, std::int64_t bytes, int multiprocessors, cudaStream_t s) {
  constexpr int stages = 8, chunk = 16384, threads = 256, loads = 16, shared = stages * (chunk + 8);
  int resident = 0;
  memory const sum(8);
  ok(cudaFuncSetAttribute(bulk_read, cudaFuncAttributeMaxDynamicSharedMemorySize, shared));
  ok(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&resident, read_tiles<loads>, threads, 0));
  auto const timed = time_in_turn(s, 2, [&](int v, int) {
    if (v == 0)
      bulk_read<<<multiprocessors, 32, shared, s>>>(reinterpret_cast<std::byte const*>(from), bytes / chunk, stages, chunk, true,
                                                    sum.as<unsigned long long>());
    else
      read_tiles<loads><<<resident * multiprocessors, threads, 0, s>>>(reinterpret_cast<uint4 const*>(from), bytes / (threads * loads * 16),
                                                                       sum.as<unsigned long long>());
    ok(cudaGetLastError());
  });
  return static_cast<double>(bytes) / std::min(timed[0].median, timed[1].median) * 1e-3;
}

struct dense_time {
  double us = std::numeric_limits<double>::infinity();
  char const* kind = "";
};

/// The fastest of all that cuBLASLt's heuristic offers, with scales as ours and with one scale each and fast accumulation.
inline dense_time fastest_dense(cublaslt& lt, grouped_problem& p, grouped_shape const& shape, cold_cache const& cache, cudaStream_t s) {
  p.at(shape);
  auto const w = p.weights();
  dense_operands const o{p.x().codes, w.codes.base, p.x().scales, w.scales.base, p.out()};
  dense_time best;
  for (dense const kind : {dense::e4m3_block, dense::e4m3_tensor_fast}) try {
      cublaslt::plan plan(lt, kind, p.rows(), shape.n, shape.k, o);
      std::vector<int> runs;
      for (int i = 0; i < plan.candidates(); ++i) try {
          plan.run(o, i, s);
          runs.push_back(i);
        } catch (std::exception const&) {  // an algorithm that the heuristic offers and the library then refuses
        }
      if (runs.empty()) continue;
      for (times const& t : time_cold_in_turn(
               s, cache, static_cast<int>(runs.size()), [&](int v) { plan.run(o, runs[static_cast<std::size_t>(v)], s); }, 5, 0.1))
        if (t.median < best.us) best = {t.median, name(kind)};
    } catch (std::exception const& e) {
      std::printf("cuBLASLt %s %s: %s\n", name(kind), shape.name().c_str(), e.what());
    }
  return best;
}

/// The two products of all expert rows of T tokens, the shared expert's included.
struct dense_layer {
  std::int64_t tokens;
  dense_time up, down;
  double operations;

  double us() const { return up.us + down.us; }
  double tflops() const { return operations / us() * 1e-6; }
};

inline std::vector<dense_layer> dense_layers(std::string const& path, moesaic::moe_config const& c, std::vector<std::int64_t> const& tokens,
                                             cold_cache const& cache, cudaStream_t s) {
  auto const shape = [&c](std::int64_t t, bool up) {
    int const rows = static_cast<int>(t) * (c.top_k + 1);
    return up ? grouped_shape{1, rows, false, 2 * c.inter, c.hidden} : grouped_shape{1, rows, false, c.hidden, c.inter};
  };
  cublaslt lt(path);
  std::vector<grouped_shape> shapes;
  for (std::int64_t const t : tokens)
    for (bool const up : {true, false}) shapes.push_back(shape(t, up));
  grouped_problem p(shapes);
  std::vector<dense_layer> all;
  for (std::int64_t const t : tokens) {
    grouped_shape const up = shape(t, true), down = shape(t, false);
    all.push_back({t, fastest_dense(lt, p, up, cache, s), fastest_dense(lt, p, down, cache, s), up.operations() + down.operations()});
  }
  return all;
}

}  // namespace gpu
