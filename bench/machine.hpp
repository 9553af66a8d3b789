// What this machine can do, probed by the threads and the instructions that the kernels use: every figure of a benchmark is a share of one
// of these, taken beside it.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <moesaic/cpu.hpp>
#include <moesaic/cpu/thread_pool.hpp>
#include <random>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace machine {

using pool = moesaic::cpu::thread_pool;

inline double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

inline double median(std::vector<double> v) {
  auto const middle = v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2);
  std::nth_element(v.begin(), middle, v.end());
  return *middle;
}

// Memory on large pages where the system gives them; pages that are never touched cost nothing.
class buffer {
 public:
  explicit buffer(std::size_t bytes) : bytes_((bytes + huge) / huge * huge) {
    raw_ = mmap(nullptr, bytes_ + huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (raw_ == MAP_FAILED) {
      std::perror("mmap");
      std::exit(1);
    }
    data_ = reinterpret_cast<std::byte*>((reinterpret_cast<std::uintptr_t>(raw_) + huge - 1) / huge * huge);
    madvise(data_, bytes_, MADV_HUGEPAGE);
  }
  buffer(buffer const&) = delete;
  ~buffer() { munmap(raw_, bytes_ + huge); }

  template <class T = std::byte>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }
  std::size_t bytes() const { return bytes_; }
  moesaic::memory memory() const { return {data_, bytes_}; }

 private:
  static constexpr std::size_t huge = std::size_t{2} << 20;
  std::size_t bytes_;
  void* raw_;
  std::byte* data_;
};

// Bytes per second of all threads reading `bytes` bytes once.
inline double read_bandwidth(pool& threads, std::byte const* data, std::size_t bytes) {
  constexpr std::int64_t piece = 1 << 20;
  static std::atomic<std::uint64_t> sink;
  double const start = now();
  threads.parallel_for(static_cast<std::int64_t>(bytes) / piece, [&](std::int64_t i) {
    auto const* const words = reinterpret_cast<std::uint64_t const*>(data + i * piece);
    std::uint64_t sum = 0;
    for (std::int64_t w = 0; w < piece / 8; ++w) sum += words[w];
    sink.fetch_add(sum, std::memory_order_relaxed);
  });
  return static_cast<double>(bytes) / (now() - start);
}

// Bytes read and bytes written per second of all threads copying.
inline double copy_bandwidth(pool& threads, std::byte* data, std::size_t bytes) {
  constexpr std::int64_t piece = 1 << 20;
  std::size_t const half = bytes / 2 / piece * piece;
  double const start = now();
  threads.parallel_for(static_cast<std::int64_t>(half) / piece,
                       [&](std::int64_t i) { std::copy_n(data + i * piece, piece, data + half + static_cast<std::size_t>(i * piece)); });
  return 2.0 * static_cast<double>(half) / (now() - start);
}

// ±[0.5, 1) in every lane: what does not change draws less power than real numbers do, and lets the clock run faster.
template <class Engine>
typename Engine::weight random_lanes(std::mt19937& random) {
  using element = typename Engine::element;
  constexpr std::uint32_t exponent = std::is_same_v<element, float>           ? 0x3F000000
                                     : std::is_same_v<element, moesaic::fp16> ? 0x38003800
                                                                              : 0x3F003F00;
  constexpr std::uint32_t others = std::is_same_v<element, float>           ? 0x807FFFFF
                                   : std::is_same_v<element, moesaic::fp16> ? 0x83FF83FF
                                                                            : 0x807F807F;
  typename Engine::weight w;
  std::uint32_t lane[sizeof w / 4];
  for (auto& l : lane) l = exponent | (static_cast<std::uint32_t>(random()) & others);
  std::memcpy(&w, lane, sizeof w);
  return w;
}

// Multiply-adds in registers, in operations per second of all threads: the engine's own instruction.
template <class Engine, int OperationsALane>
double peak(pool& threads, double seconds) {
  constexpr int sums = sizeof(typename Engine::weight) >= 64 ? 16 : 10, factors = 4,
                repeats = 4;  // what fits the registers, and hides the latency
  constexpr std::int64_t rounds = 2'000;
  static std::atomic<int> sink;
  int const count = threads.threads();
  std::vector<double> rate(static_cast<std::size_t>(count));
  threads.parallel_for(count, [&](std::int64_t t) {
    std::mt19937 random(static_cast<unsigned>(t));
    typename Engine::sum sum[sums] = {};
    typename Engine::weight a[factors];
    typename Engine::weight b = random_lanes<Engine>(random);
    for (auto& factor : a) factor = random_lanes<Engine>(random);
    // Numbers that are not known: what is equal would be computed once.
    for (auto& factor : a) __asm__ volatile("" : "+v"(factor));
    for (auto& s : sum) __asm__ volatile("" : "+v"(s));
    double const start = now();
    std::int64_t done = 0;
    double took = 0.0;
    while ((took = now() - start) < seconds) {
      for (std::int64_t i = 0; i < rounds; ++i)
        [&]<std::size_t... At>(
            std::index_sequence<At...>) {  // indices that are known before anything is optimised: registers, not an array
#pragma GCC unroll 4
          for (int again = 0; again < repeats; ++again) {
            __asm__ volatile("" : "+v"(b));  // or the products would be computed once
            (Engine::multiply_add(a[At % factors], b, sum[At]), ...);
          }
        }
      (std::make_index_sequence<sums>());
      for (auto& s : sum) {
        __asm__ volatile("" ::"v"(s));  // wanted
        s = typename Engine::sum{};     // before fp16 overflows
      }
      done += rounds;
    }
    for (auto const& s : sum) sink.fetch_add(static_cast<int>(s[0]), std::memory_order_relaxed);
    rate[static_cast<std::size_t>(t)] =
        static_cast<double>(done * sums * repeats) * OperationsALane * (sizeof(typename Engine::sum) / 4) / took;
  });
  double sum = 0.0;
  for (double const r : rate) sum += r;
  return sum;
}

// Nanoseconds from one thread's store to another's load of it, there and back halved. Two threads that share a cache complex take some
// tens.
inline double core_to_core_ns() {
  constexpr int rounds = 20'000;
  std::atomic<int> turn{0};
  auto const play = [&](int me) {
    for (int i = 0; i < rounds; ++i) {
      while (turn.load(std::memory_order_acquire) != 2 * i + me) {
      }
      turn.store(2 * i + me + 1, std::memory_order_release);
    }
  };
  double const start = now();
  std::thread other(play, 1);
  play(0);
  other.join();
  return (now() - start) / (2.0 * rounds) * 1e9;
}

// --threads=N, or as many as there are processors.
inline int threads_of(int argc, char** argv) {
  for (int i = 1; i < argc; ++i)
    if (std::strncmp(argv[i], "--threads=", 10) == 0) return std::atoi(argv[i] + 10);
  return static_cast<int>(std::thread::hardware_concurrency());
}

inline std::string line_of(char const* file, std::string const& key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);)
    if (line.rfind(key, 0) == 0) return line.substr(line.find(':') + 2);
  return "?";
}
inline std::string processor() {
  std::string s = line_of("/proc/cpuinfo", "model name");
  s.append(", family ").append(line_of("/proc/cpuinfo", "cpu family")).append(" model ").append(line_of("/proc/cpuinfo", "model\t"));
  return s;
}
inline std::size_t available_memory() { return std::strtoull(line_of("/proc/meminfo", "MemAvailable").c_str(), nullptr, 10) * 1024; }

}  // namespace machine
