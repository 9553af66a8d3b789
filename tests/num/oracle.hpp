// What the tests of num/ share: oracles that know nothing of the code under test, and the sets of floats they are asked about.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <string_view>
#include <vector>

namespace oracle {

inline constexpr float infinity = std::numeric_limits<float>::infinity();

inline float float_of(std::uint32_t u) { return std::bit_cast<float>(u); }
inline std::uint32_t bits_of(float x) { return std::bit_cast<std::uint32_t>(x); }

// The bits, or one number for all NaN.
inline std::uint32_t bits_or_nan(float x) { return std::isnan(x) ? 0xFFFF'FFFFu : bits_of(x); }

// splitmix64
struct random_bits {
  std::uint64_t state = 1;
  std::uint64_t operator()() {
    std::uint64_t z = (state += 0x9E37'79B9'7F4A'7C15u);
    z = (z ^ (z >> 30)) * 0xBF58'476D'1CE4'E5B9u;
    z = (z ^ (z >> 27)) * 0x94D0'49BB'1331'11EBu;
    return z ^ (z >> 31);
  }
  float any_float() { return float_of(static_cast<std::uint32_t>((*this)())); }
};

inline bool exhaustive() {
  char const* const text = std::getenv("MOESAIC_EXHAUSTIVE");
  return text != nullptr && std::string_view(text) == "1";
}

// Every `stride`-th bit pattern of a float; all of them where MOESAIC_EXHAUSTIVE=1.
template <class F>
void for_floats(std::uint64_t stride, F&& f) {
  for (std::uint64_t u = 0; u < (std::uint64_t{1} << 32); u += exhaustive() ? 1 : stride) f(float_of(static_cast<std::uint32_t>(u)));
}

// A float format with its sign in the top bit, as a table of its values that are not negative, ascending: code c is value[c].
struct format {
  std::vector<double> value;  // one past the last finite value: the value that a further exponent would have
  bool saturates = false;     // beyond the last finite value: that value, or else the code after it, which is infinity
  std::uint32_t sign = 0, nan = 0;

  format(int exponent_bits, int mantissa_bits, int bias, std::uint32_t finite_codes, bool saturating, std::uint32_t nan_code)
      : saturates(saturating), sign(std::uint32_t{1} << (exponent_bits + mantissa_bits)), nan(nan_code) {
    for (std::uint32_t c = 0; c <= finite_codes; ++c) {
      auto const exponent = static_cast<int>(c >> mantissa_bits);
      auto const mantissa = static_cast<double>(c & ((1u << mantissa_bits) - 1u));
      double const implied = exponent == 0 ? 0.0 : std::ldexp(1.0, mantissa_bits);
      value.push_back(std::ldexp(implied + mantissa, std::max(exponent, 1) - bias - mantissa_bits));
    }
  }

  std::uint32_t last() const { return static_cast<std::uint32_t>(value.size()) - 2; }

  // The nearest value, of two the one with the even code.
  std::uint32_t encode(float x) const {
    if (std::isnan(x)) return nan;
    std::uint32_t const s = std::signbit(x) ? sign : 0u;
    double const a = std::fabs(static_cast<double>(x));
    auto const above = std::lower_bound(value.begin(), value.end(), a);
    auto code = static_cast<std::uint32_t>(above - value.begin());
    if (above == value.end()) {
      code = last() + 1;
    } else if (*above != a) {
      double const up = *above - a, down = a - value[code - 1];
      if (down < up || (down == up && code % 2 == 1)) --code;
    }
    return s | (saturates ? std::min(code, last()) : code);
  }

  // Where an encoder may go wrong: every value, every midpoint, and their neighbours, of both signs; then what is not a number.
  template <class F>
  void for_critical_floats(F&& f) const {
    auto around = [&](double at) {
      auto const x = static_cast<float>(at);
      for (float y : {x, std::nextafter(x, infinity), std::nextafter(x, -infinity)}) f(y), f(-y);
    };
    for (std::size_t c = 0; c + 1 < value.size(); ++c) around(value[c]), around((value[c] + value[c + 1]) / 2);
    around(value.back());
    for (float x :
         {infinity, std::numeric_limits<float>::max(), std::numeric_limits<float>::min(), std::numeric_limits<float>::denorm_min()})
      f(x), f(-x);
    for (std::uint32_t u : {0x7F80'0001u, 0x7FBF'FFFFu, 0x7FC0'0000u, 0x7FFF'FFFFu}) f(float_of(u)), f(float_of(u | 0x8000'0000u));
  }
};

// |y - exact| in units of the last place of a float as large as `exact`. Infinite where one of them overflows and the other should not.
template <class Real>
double ulp_error(float y, Real exact) {
  auto const t = static_cast<double>(exact);
  if (std::isinf(y) || std::isinf(t)) return static_cast<float>(t) == y ? 0.0 : static_cast<double>(infinity);
  auto const exponent = static_cast<int>((std::bit_cast<std::uint64_t>(t) >> 52) & 0x7FF) - 1023;
  int const unit = std::clamp(exponent, -126, 127) - 23;
  double const scale = std::bit_cast<double>(static_cast<std::uint64_t>(1023 - unit) << 52);
  return static_cast<double>(std::fabs(static_cast<Real>(y) - exact)) * scale;
}

// FNV-1a over the bytes of what is given.
struct hash {
  std::uint64_t state = 0xCBF2'9CE4'8422'2325u;
  void operator()(std::uint32_t u) {
    for (int shift = 0; shift < 32; shift += 8) state = (state ^ ((u >> shift) & 0xFFu)) * 0x100'0000'01B3u;
  }
};

}  // namespace oracle
