// What all parts of the suite share. A stamp first says what is to be tested, in a namespace `stamp`:
//   name, context_type, settings[] (each with the number of threads), context(setting), finish(): wait until results may be read
// and then includes this file and the parts. A device's stamp would also replace `buffer`.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <new>
#include <oracle/numbers.hpp>
#include <string>
#include <vector>

namespace conformance {

using moesaic::bf16;
using moesaic::fp16;

// MOESAIC_SEED, or a number that makes failures repeatable by default. Printed at the start of the run.
inline std::uint64_t seed() {
  char const* const text = std::getenv("MOESAIC_SEED");
  return text != nullptr ? std::strtoull(text, nullptr, 0) : 671;
}
// How far from float64 a backend's products of E4M3 rows and weights are, of any shape, if by more than fp32 sums: B::e4m3_mma_error().
template <class B>
double error_of_codes() {
  if constexpr (requires { B::e4m3_mma_error(); })
    return B::e4m3_mma_error();
  else
    return 0.0;
}
// A stream of random numbers for the case with these coordinates.
inline oracle::random random_for(std::uint64_t a, std::uint64_t b = 0, std::uint64_t c = 0) {
  oracle::random r{seed()};
  for (std::uint64_t const part : {a, b, c}) r.state = r.bits() ^ (part * 0x9E37'79B9'7F4A'7C15u);
  return r;
}

// Counts and errors for the summary at the end.
class summary : public testing::Environment {
 public:
  void SetUp() override { std::printf("[ seed     ] MOESAIC_SEED=%llu\n", static_cast<unsigned long long>(seed())); }
  void TearDown() override {
    for (auto const& [what, n] : cases_) std::printf("[ cases    ] %s: %s: %ld\n", stamp::name, what.c_str(), n);
    for (auto const& [what, e] : errors_) std::printf("[ error    ] %s: %s: at most %.2g\n", stamp::name, what.c_str(), e);
  }
  void count(std::string const& what, long n = 1) { cases_[what] += n; }
  void error(std::string const& what, double e) {
    double& worst = errors_[what];
    worst = std::max(worst, e);
  }

 private:
  std::map<std::string, long> cases_;
  std::map<std::string, double> errors_;
};
inline summary& report() {
  static auto* const s = static_cast<summary*>(testing::AddGlobalTestEnvironment(new summary));
  return *s;
}
inline summary& report_at_start = report();

// A fixed number of elements, 64-byte aligned, filled with bytes 0xA5 so that what was not written is seen.
template <class T>
class buffer {
 public:
  static constexpr unsigned char untouched = 0xA5;

  explicit buffer(std::int64_t size)
      : size_(static_cast<std::size_t>(size)), data_(static_cast<T*>(::operator new (bytes() + 64, std::align_val_t{64}))) {
    fill_bytes(untouched);
  }
  explicit buffer(std::vector<T> const& from) : buffer(static_cast<std::int64_t>(from.size())) {
    std::copy(from.begin(), from.end(), data_);
  }
  buffer(buffer const& other) : buffer(static_cast<std::int64_t>(other.size_)) { std::memcpy(data_, other.data_, bytes()); }
  buffer& operator=(buffer const&) = delete;
  ~buffer() {
    for (std::size_t i = 0; i < 64; ++i)
      EXPECT_EQ(reinterpret_cast<unsigned char*>(data_)[bytes() + i], untouched) << "written behind its end";
    ::operator delete (data_, std::align_val_t{64});
  }

  T* data() const { return data_; }
  std::size_t size() const { return size_; }
  std::size_t bytes() const { return size_ * sizeof(T); }
  T& operator[](std::int64_t i) const { return data_[i]; }
  T* begin() const { return data_; }
  T* end() const { return data_ + size_; }
  void fill_bytes(unsigned char byte) {
    std::memset(static_cast<void*>(data_), byte, bytes());
    std::memset(reinterpret_cast<unsigned char*>(data_) + bytes(), untouched, 64);
  }
  bool is_untouched(std::int64_t first, std::int64_t count = 1) const {
    auto const* const p = reinterpret_cast<unsigned char const*>(data_ + first);
    return std::all_of(p, p + static_cast<std::size_t>(count) * sizeof(T), [](unsigned char c) { return c == untouched; });
  }

 private:
  std::size_t size_;
  T* data_;
};

inline std::uint32_t bits(float x) { return std::isnan(x) ? 0xFFFF'FFFFu : std::bit_cast<std::uint32_t>(x); }  // NaN are all one
inline std::uint32_t bits(bf16 x) { return x.bits; }
inline std::uint32_t bits(fp16 x) { return x.bits; }
inline std::uint32_t bits(std::uint8_t x) { return x; }
inline std::uint32_t bits(std::int32_t x) { return static_cast<std::uint32_t>(x); }

// Same bits, all NaN being one; says where the first difference is.
template <class T>
testing::AssertionResult same_bits(T const* a, T const* b, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i)
    if (bits(a[i]) != bits(b[i]))
      return testing::AssertionFailure() << "element " << i << " of " << count << ": bits " << std::hex << bits(a[i]) << " and "
                                         << bits(b[i]);
  return testing::AssertionSuccess();
}
template <class T>
testing::AssertionResult same_bits(buffer<T> const& a, buffer<T> const& b) {
  if (a.size() != b.size()) return testing::AssertionFailure() << "sizes " << a.size() << " and " << b.size();
  return same_bits(a.data(), b.data(), static_cast<std::int64_t>(a.size()));
}

inline void need(moesaic::status const& s) { ASSERT_TRUE(s) << moesaic::describe(s).c_str(); }

// f(context, "what is being run") for each setting of the stamp, thread counts 1 and 2 among them.
template <class F>
void for_each_setting(F const& f) {
  for (auto const& setting : stamp::settings) {
    SCOPED_TRACE(std::string(stamp::name) + " with " + stamp::describe(setting));
    f(stamp::context(setting));
    if (testing::Test::HasFatalFailure()) return;
  }
}
inline long setting_count() { return static_cast<long>(std::size(stamp::settings)); }

// Element types: an fp32 number to the nearest T, and back, by the oracle.
template <class T>
T rounded(double x) {
  if constexpr (sizeof(T) == 4)
    return static_cast<T>(x);
  else
    return T{static_cast<std::uint16_t>((std::is_same_v<T, bf16> ? oracle::bf16 : oracle::fp16).encode(x))};
}
inline double value(float x) { return static_cast<double>(x); }
inline double value(bf16 x) { return oracle::bf16.decode(x.bits); }
inline double value(fp16 x) { return oracle::fp16.decode(x.bits); }

}  // namespace conformance
