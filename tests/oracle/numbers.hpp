// Small float formats by their definition: a value is m · 2^e with a few bits of m. Nothing here knows how moesaic does it.
#pragma once

#include <cstdint>

namespace oracle {

// splitmix64, and what tests draw from it. The same numbers with every standard library.
struct random {
  std::uint64_t state = 1;

  std::uint64_t bits() {
    std::uint64_t z = (state += 0x9E37'79B9'7F4A'7C15u);
    z = (z ^ (z >> 30)) * 0xBF58'476D'1CE4'E5B9u;
    z = (z ^ (z >> 27)) * 0x94D0'49BB'1331'11EBu;
    return z ^ (z >> 31);
  }
  int below(int n) { return static_cast<int>(bits() % static_cast<std::uint64_t>(n)); }
  double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }  // [0, 1)
  // Near enough to a normal distribution with mean 0 and variance 1, and bounded by 6.
  float normal() {
    double sum = -6.0;
    for (int i = 0; i < 12; ++i) sum += uniform();
    return static_cast<float>(sum);
  }
};

// A float format with a sign bit on top, `mantissa` stored bits, and exponents from `lowest` on.
struct float_format {
  int mantissa, lowest;
  double largest;
  bool saturates;  // what is beyond `largest` becomes `largest`, not infinity
  std::uint32_t sign, infinity, nan;

  double nearest(double x) const;        // ties to even; NaN stays NaN
  std::uint32_t encode(double x) const;  // the code of nearest(x)
  double decode(std::uint32_t code) const;
};

extern float_format const e4m3, bf16, fp16;

float e8m0_value(std::uint8_t code);       // 2^(code − 127), NaN for 255
std::uint8_t e8m0_not_below(float scale);  // the code of the smallest power of two that is not below; 255 for infinity and NaN

}  // namespace oracle
