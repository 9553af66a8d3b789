// Does the thread sanitizer see what it should, and only that?   sees race | loops | fences
#include <atomic>
#include <cstdio>
#include <cstring>
#include <thread>
#include <vector>

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  constexpr int n = 10'000;
  std::vector<int> a(n);
  int sum = 0;
  if (std::strcmp(argv[1], "race") == 0) {
#pragma omp parallel for num_threads(2)
    for (int i = 0; i < n; ++i) sum += i;
  } else if (std::strcmp(argv[1], "loops") == 0) {  // every element by one thread, then by the other: the end of a loop is a barrier
#pragma omp parallel for num_threads(2)
    for (int i = 0; i < n; ++i) a[static_cast<unsigned>(i)] = i;
#pragma omp parallel for num_threads(2) reduction(+ : sum)
    for (int i = 0; i < n; ++i) sum += a[static_cast<unsigned>(n - 1 - i)];
  } else {
    std::atomic<int> ready = 0;
    std::thread writer([&] {
      sum = 1;
      std::atomic_thread_fence(std::memory_order_seq_cst);
      ready.store(1, std::memory_order_relaxed);
    });
    while (ready.load(std::memory_order_relaxed) == 0) std::this_thread::yield();
    std::atomic_thread_fence(std::memory_order_seq_cst);
    ++sum;
    writer.join();
  }
  std::printf("%d\n", sum);
}
