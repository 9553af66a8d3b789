// What a grouped product is compared with: cuBLASLt's dense products of as many rows, and a kernel that reads the weights and does nothing
// else. Both run on the same numbers as ours.
#pragma once

#include <memory>

#include "cold.hpp"
#include "dense_gemm.hpp"
#include "grouped_tiles.hpp"

namespace gpu {

/// All rows by the first expert's weights; of what the heuristic offers, the fastest.
inline candidate dense_peer(cublaslt& lt, grouped_problem const& p, dense kind, char const* column, cold_cache const& cache,
                            cudaStream_t s) {
  grouped_shape const& shape = p.shape();
  auto const w = p.weights();
  dense_operands const o{p.x().codes, w.codes.base, p.x().scales, w.scales.base, p.out()};
  auto const plan = std::make_shared<cublaslt::plan>(lt, kind, p.rows(), shape.n, shape.k, o);
  std::vector<int> runs;
  for (int i = 0; i < plan->candidates(); ++i) try {
      plan->run(o, i, s);
      runs.push_back(i);
    } catch (std::exception const&) {  // an algorithm that the heuristic offers and the library then refuses
    }
  if (runs.empty()) throw std::runtime_error("cuBLASLt runs none of its algorithms");
  auto const timed = time_cold_in_turn(
      s, cache, static_cast<int>(runs.size()), [&](int v) { plan->run(o, runs[static_cast<std::size_t>(v)], s); }, 3, 0.0);
  auto const fastest = std::min_element(timed.begin(), timed.end(), [](times const& a, times const& b) { return a.median < b.median; });
  int const best = runs[static_cast<std::size_t>(fastest - timed.begin())];
  double const bytes = static_cast<double>(p.rows()) * (shape.k + 2.0 * shape.n) + static_cast<double>(shape.n) * shape.k;
  return {work::dense, name(kind), column, bytes, [plan, o, best](cudaStream_t stream) { plan->run(o, best, stream); }};
}

/// Two ways of reading the weights' bytes; the faster is the limit. The configurations are the best of bench_gpu_ceilings.
inline std::vector<candidate> weight_reads(grouped_problem const& p, int multiprocessors) {
  constexpr int stages = 8, chunk = 16384, threads = 256, loads = 16;
  auto const* const from = p.weights().codes.base;
  std::int64_t const bytes = p.shape().weight_bytes();
  int const shared = stages * (chunk + 8);
  int resident = 0;
  ok(cudaFuncSetAttribute(bulk_read, cudaFuncAttributeMaxDynamicSharedMemorySize, shared));
  ok(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&resident, read_tiles<loads>, threads, 0));
  auto const sum = std::make_shared<memory>(8);
  auto const bulk = [=](cudaStream_t s) {
    bulk_read<<<multiprocessors, 32, shared, s>>>(reinterpret_cast<std::byte const*>(from), bytes / chunk, stages, chunk, true,
                                                  sum->as<unsigned long long>());
    ok(cudaGetLastError());
  };
  auto const plain = [=](cudaStream_t s) {
    read_tiles<loads><<<resident * multiprocessors, threads, 0, s>>>(reinterpret_cast<uint4 const*>(from), bytes / (threads * loads * 16),
                                                                     sum->as<unsigned long long>());
    ok(cudaGetLastError());
  };
  return {{work::read, "bulk copies", "read", static_cast<double>(bytes), bulk},
          {work::read, "loads", "read", static_cast<double>(bytes), plain}};
}

}  // namespace gpu
