// The card's clocks, power and temperature while it works, read through the driver's management library (found at run time: no header, no
// -l).
#pragma once

#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "device.hpp"

namespace gpu {

/// NVML's few calls that are used here. Where the library or a reading is missing, values are 0.
class management {
 public:
  management() {
    library_ = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library_ == nullptr) library_ = dlopen("/usr/local/nvidia/lib64/libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library_ == nullptr) return;
    auto const init = symbol<int()>("nvmlInit_v2");
    auto const by_bus = symbol<int(char const*, void**)>("nvmlDeviceGetHandleByPciBusId_v2");
    clock_ = symbol<int(void*, int, unsigned*)>("nvmlDeviceGetClockInfo");
    power_ = symbol<int(void*, unsigned*)>("nvmlDeviceGetPowerUsage");
    temperature_ = symbol<int(void*, int, unsigned*)>("nvmlDeviceGetTemperature");
    reasons_ = symbol<int(void*, unsigned long long*)>("nvmlDeviceGetCurrentClocksThrottleReasons");
    char bus[32] = {};
    int device = 0;
    if (init == nullptr || by_bus == nullptr || cudaGetDevice(&device) != cudaSuccess) return;
    if (cudaDeviceGetPCIBusId(bus, sizeof bus, device) != cudaSuccess) return;
    ready_ = init() == 0 && by_bus(bus, &card_) == 0;
  }
  management(management const&) = delete;  // the library stays loaded: its threads may

  bool ready() const { return ready_; }
  unsigned sm_mhz() const { return clock(1); }
  unsigned memory_mhz() const { return clock(2); }
  unsigned watts() const {
    unsigned milliwatts = 0;
    return ready_ && power_ != nullptr && power_(card_, &milliwatts) == 0 ? milliwatts / 1000 : 0;
  }
  unsigned celsius() const {
    unsigned degrees = 0;
    return ready_ && temperature_ != nullptr && temperature_(card_, 0, &degrees) == 0 ? degrees : 0;
  }
  /// NVML's bits: 4 is the power cap, 32 and 64 are heat, 128 is the power brake.
  unsigned long long throttle() const {
    unsigned long long bits = 0;
    return ready_ && reasons_ != nullptr && reasons_(card_, &bits) == 0 ? bits : 0;
  }

 private:
  unsigned clock(int which) const {
    unsigned mhz = 0;
    return ready_ && clock_ != nullptr && clock_(card_, which, &mhz) == 0 ? mhz : 0;
  }
  template <class F>
  F* symbol(char const* name) const {
    return reinterpret_cast<F*>(dlsym(library_, name));
  }

  void* library_ = nullptr;
  void* card_ = nullptr;
  bool ready_ = false;
  int (*clock_)(void*, int, unsigned*) = nullptr;
  int (*power_)(void*, unsigned*) = nullptr;
  int (*temperature_)(void*, int, unsigned*) = nullptr;
  int (*reasons_)(void*, unsigned long long*) = nullptr;
};

/// Samples the clocks from a thread of its own, every 10 ms until stop().
class watch {
 public:
  explicit watch(management const& m)
      : thread_([this, &m] {
          while (!done_.load()) {
            sm_.push_back(m.sm_mhz());
            watts_.push_back(m.watts());
            throttle_ |= m.throttle();
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
          }
        }) {}
  watch(watch const&) = delete;
  ~watch() { stop(); }

  void stop() {
    done_.store(true);
    if (thread_.joinable()) thread_.join();
  }
  /// After stop(): medians over the second half of the samples, when clocks have settled.
  json& add_to(json& line) {
    stop();
    return line.add("sm_mhz", settled(sm_)).add("watts", settled(watts_)).add("throttle", throttle_).add("clock_samples", sm_.size());
  }
  unsigned sm_mhz() const { return settled(sm_); }
  unsigned watts() const { return settled(watts_); }

 private:
  static unsigned settled(std::vector<unsigned> const& all) {
    std::vector<unsigned> half(all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2), all.end());
    std::sort(half.begin(), half.end());
    return half.empty() ? 0 : half[half.size() / 2];
  }

  std::vector<unsigned> sm_, watts_;
  unsigned long long throttle_ = 0;
  std::atomic<bool> done_{false};
  std::thread thread_;  // last: it uses the others
};

}  // namespace gpu
