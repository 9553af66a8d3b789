// What the benchmarks that run on a GPU share: calls that must succeed, memory, times taken with CUDA events, results as one JSON object a
// line.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace gpu {

/// Throws where a CUDA call failed; after a launch, ok(cudaGetLastError()).
inline void ok(cudaError_t e, char const* file = __builtin_FILE(), int line = __builtin_LINE()) {
  if (e == cudaSuccess) return;
  throw std::runtime_error(std::string(file) + ":" + std::to_string(line) + ": " + cudaGetErrorName(e) + ": " + cudaGetErrorString(e));
}

/// Says so where there is none; the programs then exit with 77, which ctest and gpu_run.sh take for skipped.
inline bool has_gpu() {
  int devices = 0;
  bool const has = cudaGetDeviceCount(&devices) == cudaSuccess && devices > 0;
  if (!has) std::puts("no GPU");
  return has;
}

/// Device memory that frees itself.
class memory {
 public:
  explicit memory(std::size_t bytes) : bytes_(bytes) { ok(cudaMalloc(&data_, bytes)); }
  memory(memory const&) = delete;
  ~memory() { cudaFree(data_); }

  template <class T>
  T* as(std::int64_t at = 0) const {
    return static_cast<T*>(data_) + at;
  }
  std::size_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  std::size_t bytes_;
};

class stream {
 public:
  stream() { ok(cudaStreamCreateWithFlags(&handle_, cudaStreamNonBlocking)); }
  stream(stream const&) = delete;
  ~stream() { cudaStreamDestroy(handle_); }
  operator cudaStream_t() const { return handle_; }
  void wait() const { ok(cudaStreamSynchronize(handle_)); }

 private:
  cudaStream_t handle_ = nullptr;
};

class event {
 public:
  event() { ok(cudaEventCreate(&handle_)); }
  event(event const&) = delete;
  event(event&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  ~event() {
    if (handle_ != nullptr) cudaEventDestroy(handle_);
  }
  operator cudaEvent_t() const { return handle_; }

 private:
  cudaEvent_t handle_ = nullptr;
};

/// Microseconds a call.
struct times {
  double median = 0.0, min = 0.0, max = 0.0;
  int samples = 0, calls = 0;  // calls: how many a sample averages over
};

/// f(variant, i) enqueues the i-th call of a variant on s; i lets it take one input after the other. All variants are timed in turn, round
/// by round and without a pause, after `warm` microseconds of them: a card at its power limit slows within milliseconds, and what is timed
/// first would look fastest. A sample is as many calls as fill `at_least` microseconds, for an event is read to half a microsecond.
template <std::invocable<int, int> F>
std::vector<times> time_in_turn(cudaStream_t s, int variants, F const& f, int rounds = 11, double at_least = 2000.0,
                                double warm = 30'000.0) {
  auto const count = static_cast<std::size_t>(variants);
  std::vector<times> all(count);
  event first, last;
  float ms = 0.0F;
  double round_us = 0.0;
  for (std::size_t v = 0; v < count; ++v) {
    for (int i = 0; i < 2; ++i) f(static_cast<int>(v), i);
    ok(cudaEventRecord(first, s));
    for (int i = 0; i < 3; ++i) f(static_cast<int>(v), i);
    ok(cudaEventRecord(last, s));
    ok(cudaEventSynchronize(last));
    ok(cudaEventElapsedTime(&ms, first, last));
    double const guess = std::max(static_cast<double>(ms) * 1e3 / 3.0, 0.1);
    all[v].samples = rounds;
    all[v].calls = static_cast<int>(std::clamp(std::ceil(at_least / guess), 1.0, 2000.0));
    round_us += guess * all[v].calls;
  }
  int const warm_rounds = static_cast<int>(std::ceil(warm / round_us));
  std::vector<event> marks(count * static_cast<std::size_t>(rounds) + 1);
  std::size_t mark = 0;
  int i = 0;
  for (int round = -warm_rounds; round < rounds; ++round) {
    if (round == 0) ok(cudaEventRecord(marks[mark++], s));
    for (std::size_t v = 0; v < count; ++v) {
      for (int c = 0; c < all[v].calls; ++c) f(static_cast<int>(v), i++);
      if (round >= 0) ok(cudaEventRecord(marks[mark++], s));
    }
  }
  ok(cudaEventSynchronize(marks.back()));
  for (std::size_t v = 0; v < count; ++v) {
    std::vector<double> us;
    for (std::size_t at = v; at + 1 < marks.size(); at += count) {
      ok(cudaEventElapsedTime(&ms, marks[at], marks[at + 1]));
      us.push_back(static_cast<double>(ms) * 1e3 / all[v].calls);
    }
    std::sort(us.begin(), us.end());
    all[v].median = us[us.size() / 2];
    all[v].min = us.front();
    all[v].max = us.back();
  }
  return all;
}

/// The same of one function f(i), without a warm-up of its own.
template <std::invocable<int> F>
times time_calls(cudaStream_t s, F const& f, int samples = 11, double at_least = 2000.0) {
  return time_in_turn(
             s, 1, [&](int, int i) { f(i); }, samples, at_least, 0.0)
      .front();
}

/// One JSON object, built key by key.
class json {
 public:
  json& add(char const* key, std::string const& value) {
    std::string escaped;
    for (char const c : value) {
      if (c == '"' || c == '\\') escaped += '\\';
      escaped += c < ' ' ? ' ' : c;
    }
    return raw(key, "\"" + escaped + "\"");
  }
  json& add(char const* key, char const* value) { return add(key, std::string(value)); }
  json& add(char const* key, bool value) { return raw(key, value ? "true" : "false"); }
  json& add(char const* key, std::integral auto value) { return raw(key, std::to_string(value)); }
  json& add(char const* key, double value) {
    char text[40];
    std::snprintf(text, sizeof text, "%.6g", value);
    return raw(key, std::isfinite(value) ? text : "null");
  }
  json& add(times const& t) {
    return add("us", t.median).add("us_min", t.min).add("us_max", t.max).add("samples", t.samples).add("calls", t.calls);
  }
  std::string text() const { return "{" + body_ + "}"; }

 private:
  json& raw(char const* key, std::string const& value) {
    body_ += (body_.empty() ? "\"" : ", \"") + std::string(key) + "\": " + value;
    return *this;
  }
  std::string body_;
};

/// Where results go: a file of JSON lines, flushed line by line so that a program that dies leaves what it had.
class results {
 public:
  explicit results(std::string const& path) {
    if (!path.empty() && (file_ = std::fopen(path.c_str(), "a")) == nullptr) throw std::runtime_error("cannot write " + path);
  }
  results(results const&) = delete;
  ~results() {
    if (file_ != nullptr) std::fclose(file_);
  }
  void write(json const& line) {
    if (file_ == nullptr) return;
    std::fprintf(file_, "%s\n", line.text().c_str());
    std::fflush(file_);
  }

 private:
  std::FILE* file_ = nullptr;
};

}  // namespace gpu
