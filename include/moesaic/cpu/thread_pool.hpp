// A pool of std::threads, for programs that have none of their own. Not part of the door: <thread> costs what the rest of moesaic does.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include <moesaic/cpu/pool.hpp>

namespace moesaic::inline MOESAIC_ABI::cpu {

/// `threads` threads with the caller's, which takes part. They are made once and joined by the destructor; between calls they spin for some
/// microseconds and then sleep. One item at a time goes to whichever thread is free. parallel_for allocates nothing; items must not throw.
/// A call while another one runs, out of an item or from one more thread, does its items on its own thread.
class thread_pool {
 public:
  explicit thread_pool(int threads) {
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
  }
  thread_pool(thread_pool const&) = delete;
  thread_pool& operator=(thread_pool const&) = delete;

  /// The caller's included.
  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  template <class F>
  void parallel_for(std::int64_t n, F const& f) {
    if (n <= 1 || workers_.empty() || busy_.exchange(true, std::memory_order_acquire)) {
      for (std::int64_t i = 0; i < n; ++i) f(i);
      return;
    }
    call_ = [](void const* g, std::int64_t i) { (*static_cast<F const*>(g))(i); };
    f_ = &f;
    n_ = n;
    next_.store(0, std::memory_order_relaxed);
    start();
    take_items();
    for (std::int32_t left = 0; (left = spin_while(working_, [](std::int32_t w) { return w != 0; })) != 0;) working_.wait(left);
    busy_.store(false, std::memory_order_release);
  }

 private:
  using item_function = void (*)(void const*, std::int64_t);

  void start() {
    working_.store(static_cast<std::int32_t>(workers_.size()), std::memory_order_relaxed);
    round_.fetch_add(1, std::memory_order_release);
    round_.notify_all();
  }

  void stop() {
    call_ = nullptr;
    start();
    for (std::thread& t : workers_) t.join();
  }

  void take_items() {
    for (std::int64_t i = 0; (i = next_.fetch_add(1, std::memory_order_relaxed)) < n_;) call_(f_, i);
  }

  void work() {
    for (std::int32_t seen = 0;;) {
      auto const look = [&] { return spin_while(round_, [&](std::int32_t r) { return r == seen; }); };
      std::int32_t now = look();
      while (now == seen) {
        round_.wait(seen);
        now = look();
      }
      seen = now;
      if (call_ == nullptr) return;
      take_items();
      if (working_.fetch_sub(1, std::memory_order_acq_rel) == 1) working_.notify_one();
    }
  }

  // The value after it has stopped to be as it was, or after a while.
  template <class Unchanged>
  static std::int32_t spin_while(std::atomic<std::int32_t> const& a, Unchanged const& unchanged) {
    std::int32_t value = a.load(std::memory_order_acquire);
    for (int i = 0; i < 2000 && unchanged(value); ++i) {
#if defined(__x86_64__) || defined(__i386__)
      __builtin_ia32_pause();
#elif defined(__aarch64__)
      asm volatile("yield");
#endif
      value = a.load(std::memory_order_acquire);
    }
    return value;
  }

  // Also ends the threads that there are when one more cannot be made.
  struct end_of_work {
    thread_pool& p;
    ~end_of_work() { p.stop(); }
  };

  std::vector<std::thread> workers_;
  std::atomic<bool> busy_{false};
  item_function call_ = nullptr;
  void const* f_ = nullptr;
  std::int64_t n_ = 0;
  // Each on a cache line of its own: what sleepers watch, what all threads count in, what the caller waits for.
  alignas(64) std::atomic<std::int32_t> round_{0};
  alignas(64) std::atomic<std::int64_t> next_{0};
  alignas(64) std::atomic<std::int32_t> working_{0};
  end_of_work end_{*this};
};
static_assert(pool<thread_pool>);

}  // namespace moesaic::inline MOESAIC_ABI::cpu
