// A pool of threads as cpu::on wants one: simple, and fast enough for tests.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace conformance {

class thread_pool {
 public:
  explicit thread_pool(int threads) {
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
  }
  thread_pool(thread_pool const&) = delete;
  thread_pool& operator=(thread_pool const&) = delete;
  ~thread_pool() {
    start(nullptr, nullptr, -1);
    for (std::thread& t : workers_) t.join();
  }

  template <class F>
  void parallel_for(std::int64_t n, F const& f) {
    start([](void const* g, std::int64_t i) { (*static_cast<F const*>(g))(i); }, &f, n);
    take_items();
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [this] { return busy_ == 0; });
  }

 private:
  using item_function = void (*)(void const*, std::int64_t);

  void start(item_function call, void const* f, std::int64_t n) {
    {
      std::lock_guard const lock(mutex_);
      call_ = call, f_ = f, n_ = n;
      next_ = 0;
      busy_ = static_cast<int>(workers_.size());
      ++round_;
    }
    wake_.notify_all();
  }

  void take_items() {
    for (std::int64_t i; (i = next_++) < n_;) call_(f_, i);
  }

  void work() {
    for (std::int64_t seen = 0;;) {
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return round_ != seen; });
        seen = round_;
        if (n_ < 0) return;
      }
      take_items();
      std::lock_guard const lock(mutex_);
      if (--busy_ == 0) idle_.notify_all();
    }
  }

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_, idle_;
  item_function call_ = nullptr;
  void const* f_ = nullptr;
  std::int64_t n_ = 0, round_ = 0;
  std::atomic<std::int64_t> next_{0};
  int busy_ = 0;
};

}  // namespace conformance
