// Threads as an inference engine has them: all inside the same operation, each knowing which one it is.
#pragma once

#include <atomic>
#include <barrier>
#include <cstdint>
#include <moesaic/cpu/worker.hpp>
#include <thread>
#include <vector>

namespace engine {

/// f(worker) on each of `threads` threads; items by turns, or in the order of an atomic counter.
template <class F>
void on_all_threads(int threads, bool by_tickets, F const& f) {
  std::barrier barrier(threads);
  std::atomic<std::int64_t> counter{0};
  auto const wait = [&] { barrier.arrive_and_wait(); };
  auto const ticket = [&] { return counter.fetch_add(1, std::memory_order_relaxed); };
  std::vector<std::jthread> others;
  auto const one = [&](int thread) {
    if (by_tickets) {
      moesaic::cpu::worker me(thread, threads, wait, ticket);
      f(me, thread);
    } else {
      moesaic::cpu::worker me(thread, threads, wait);
      f(me, thread);
    }
  };
  for (int t = 1; t < threads; ++t) others.emplace_back(one, t);
  one(0);
}

}  // namespace engine
