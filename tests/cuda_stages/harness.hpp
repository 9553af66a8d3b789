// Every fast launcher against its functor run by the serial group on the host: same inputs, and all bytes of every output compared, what
// lies around them too.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <moesaic/cuda/launch.hpp>
#include <moesaic/num/convert.hpp>
#include <moesaic/reference/on.hpp>

namespace stages {

inline int checks = 0, failures = 0;

inline void need(cudaError_t e, char const* what) {
  if (e == cudaSuccess) return;
  std::printf("FATAL %s: CUDA error %d, %s\n", what, static_cast<int>(e), cudaGetErrorString(e));
  std::exit(2);
}

/// splitmix64.
struct random {
  std::uint64_t state;
  std::uint64_t next() {
    std::uint64_t z = (state += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }
  int below(int n) { return static_cast<int>(next() % static_cast<std::uint64_t>(n)); }
  float uniform() { return static_cast<float>(next() >> 40) * 0x1p-24F; }
  /// Near enough to normal.
  float normal() {
    float s = -6.0F;
    for (int i = 0; i < 12; ++i) s += uniform();
    return s;
  }
  /// Now and then something nasty, out of 2¹⁶ such values.
  float hostile() {
    static std::vector<float> const all = [] {
      std::vector<float> v(65536);
      random r{77};
      for (float& x : v) x = r.make_hostile();
      return v;
    }();
    return all[next() >> 48];
  }

 private:
  float make_hostile() {
    static constexpr std::uint32_t nasty[] = {0,           0x80000000U, 0x7F800000U, 0xFF800000U, 0x7FC00000U, 0xFFC12345U, 1U,
                                              0x80000001U, 0x007FFFFFU, 0x7F7FFFFFU, 0xFF7FFFFFU, 0x3F800000U, 0x43E00000U, 0x38D1B717U};
    int const kind = below(40);
    if (kind == 0) return moesaic::from_bits(nasty[below(14)]);
    if (kind == 1) return moesaic::from_bits(static_cast<std::uint32_t>(next()));
    if (kind == 2) return normal() * 1e-7F;
    if (kind == 3) return normal() * 300.0F;
    return normal();
  }
};

/// Device memory that is kept for the next array of its size.
class memory_pool {
 public:
  void* take(std::size_t bytes) {
    auto const found = free_.find(bytes);
    if (found == free_.end()) {
      void* p = nullptr;
      need(cudaMalloc(&p, bytes), "cudaMalloc");
      return p;
    }
    void* const p = found->second;
    free_.erase(found);
    return p;
  }
  void give(void* p, std::size_t bytes) { free_.emplace(bytes, p); }

 private:
  std::multimap<std::size_t, void*> free_;
};
inline memory_pool pool;

/// Values in both memories, with a margin at either end that nobody may touch.
template <class T>
struct array {
  static constexpr std::size_t margin = 256 / sizeof(T);

  std::vector<T> host;
  T* device = nullptr;

  explicit array(std::size_t n) : host(n + 2 * margin) {
    std::memset(static_cast<void*>(host.data()), 0xCD, host.size() * sizeof(T));
    device = static_cast<T*>(pool.take(bytes()));
  }
  array(array const&) = delete;
  array& operator=(array const&) = delete;
  ~array() { pool.give(device, bytes()); }

  T& operator[](std::size_t i) { return host[margin + i]; }
  std::size_t size() const { return host.size() - 2 * margin; }
  std::size_t bytes() const { return (host.size() * sizeof(T) + 4095) / 4096 * 4096; }
  void upload() const { need(cudaMemcpy(device, host.data(), host.size() * sizeof(T), cudaMemcpyHostToDevice), "upload"); }
  std::vector<T> download() const {
    std::vector<T> v(host.size());
    need(cudaMemcpy(v.data(), device, v.size() * sizeof(T), cudaMemcpyDeviceToHost), "download");
    return v;
  }
};

/// Hands out pointers into one of the memories; a stage is made once with each.
struct on_host {
  template <class T>
  T* operator()(array<T>& a) const {
    return a.host.data() + array<T>::margin;
  }
};
struct on_device {
  template <class T>
  T* operator()(array<T>& a) const {
    return a.device + array<T>::margin;
  }
};

template <class T>
bool same(T const& a, T const& b) {
  if constexpr (std::is_same_v<T, float>)
    return std::memcmp(&a, &b, 4) == 0 || (moesaic::is_nan(a) && moesaic::is_nan(b));  // of a NaN that nothing rounds, only that it is one
  return std::memcmp(&a, &b, sizeof(T)) == 0;
}

template <class T>
void compare(std::string const& name, char const* what, array<T>& expected) {
  std::vector<T> const got = expected.download();
  ++checks;
  std::size_t wrong = 0, first = 0;
  for (std::size_t i = got.size(); i-- > 0;)
    if (!same(got[i], expected.host[i])) ++wrong, first = i;
  if (wrong == 0) return;
  ++failures;
  std::uint32_t e = 0, g = 0;
  std::memcpy(&e, &expected.host[first], sizeof(T));
  std::memcpy(&g, &got[first], sizeof(T));
  std::printf("FAIL %s: %s: %zu of %zu differ, first [%lld]: got 0x%08x, expected 0x%08x\n", name.c_str(), what, wrong, expected.size(),
              static_cast<long long>(first) - static_cast<long long>(array<T>::margin), g, e);
}

/// What was launched is over, and could have begun early; answers whether it could be launched. `launches`: how many they were to be, if
/// that is known.
inline bool finish(std::string const& name, moesaic::status const& s, [[maybe_unused]] long launches = -1) {
  if (!s) {
    ++failures;
    std::printf("FAIL %s: launch: %s\n", name.c_str(), moesaic::describe(s).c_str());
    return false;
  }
  need(cudaGetLastError(), name.c_str());
  need(cudaDeviceSynchronize(), name.c_str());
#if defined(MOESAIC_ON_FIBERS)
  auto const [all, overlapping] = fibers::take_counts();
  if (overlapping != all || (launches >= 0 && all != launches)) {
    ++failures;
    std::printf("FAIL %s: %ld launches, of which %ld may start early\n", name.c_str(), all, overlapping);
  }
#endif
  return true;
}

/// Runs make(on_device) by the fast launcher and make(on_host) by the serial group; then the outputs are compared. What `outputs` hold
/// beforehand is the same on both sides.
template <class Make, class... Outputs>
void check(std::string const& name, std::int64_t n, Make const& make, std::pair<char const*, Outputs*> const&... outputs) {
  auto const on_gpu = make(on_device{});
  auto const on_cpu = make(on_host{});
  (outputs.second->upload(), ...);
  if (!finish(name, moesaic::cuda::launcher<std::remove_const_t<decltype(on_gpu)>>::launch(nullptr, n, on_gpu))) return;
  static_cast<void>(moesaic::reference::on{}.launch(n, on_cpu));
  (compare(name, outputs.first, *outputs.second), ...);
}

template <class T>
std::pair<char const*, array<T>*> output(char const* what, array<T>& a) {
  return {what, &a};
}

template <class... Parts>
std::string text(Parts const&... parts) {
  std::string s;
  auto const add = [&](auto const& p) {
    if constexpr (std::is_arithmetic_v<std::remove_cvref_t<decltype(p)>>)
      s += std::to_string(p);
    else
      s += p;
  };
  (add(parts), ...);
  return s;
}

/// Whether this run is the slow one, on a CPU.
#if defined(MOESAIC_ON_FIBERS)
inline constexpr bool on_fibers = true;
#else
inline constexpr bool on_fibers = false;
#endif

void check_select();
void check_map();
void check_front();
void check_rows();
void check_activation();
void check_combine();

}  // namespace stages
