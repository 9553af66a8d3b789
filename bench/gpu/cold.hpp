// Times of single launches that find the L2 cache full of something else: what a GEMM meets in a model, where other layers ran in between.
#pragma once

#include <chrono>

#include "bandwidth.hpp"
#include "device.hpp"

namespace gpu {

/// Takes the place of all that the L2 cache holds by reading, since what a memset leaves is written back at the cost of the kernel behind
/// it.
class cold_cache {
 public:
  cold_cache(int multiprocessors, cudaStream_t s) : blocks_(4 * multiprocessors) {
    ok(cudaMemsetAsync(data_.as<std::byte>(), 0x5A, data_.bytes(), s));
    ok(cudaMemsetAsync(sum_.as<std::byte>(), 0, sum_.bytes(), s));
  }
  void flush(cudaStream_t s) const {
    constexpr int loads = 8, threads = 256;
    auto const tiles = static_cast<std::int64_t>(data_.bytes()) / (std::int64_t{threads} * loads * 16);
    read_tiles<loads><<<blocks_, threads, 0, s>>>(data_.as<uint4>(), tiles, sum_.as<unsigned long long>());
    ok(cudaGetLastError());
  }

 private:
  memory data_{std::size_t{256} << 20}, sum_{8};
  int blocks_;
};

/// f(variant) enqueues one launch on s. All variants are timed in turn, round by round, each launch behind a flush that is not timed, after
/// `warm` seconds of such rounds: the card is then at its power limit, if these launches take it there, and no variant has the cooler card.
template <std::invocable<int> F>
std::vector<times> time_cold_in_turn(cudaStream_t s, cold_cache const& cache, int variants, F const& f, int rounds, double warm) {
  auto const count = static_cast<std::size_t>(variants);
  std::vector<event> begin(count * static_cast<std::size_t>(rounds)), end(begin.size());
  auto const start = std::chrono::steady_clock::now();
  do {
    for (int v = 0; v < variants; ++v) {
      cache.flush(s);
      f(v);
    }
    ok(cudaStreamSynchronize(s));
  } while (std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() < warm);
  for (std::size_t i = 0; i < begin.size(); ++i) {
    cache.flush(s);
    ok(cudaEventRecord(begin[i], s));
    f(static_cast<int>(i % count));
    ok(cudaEventRecord(end[i], s));
  }
  ok(cudaStreamSynchronize(s));
  std::vector<times> all(count);
  for (std::size_t v = 0; v < count; ++v) {
    std::vector<double> us;
    for (std::size_t i = v; i < begin.size(); i += count) {
      float ms = 0.0F;
      ok(cudaEventElapsedTime(&ms, begin[i], end[i]));
      us.push_back(static_cast<double>(ms) * 1e3);
    }
    std::sort(us.begin(), us.end());
    all[v] = {us[us.size() / 2], us.front(), us.back(), rounds, 1};
  }
  return all;
}

}  // namespace gpu
