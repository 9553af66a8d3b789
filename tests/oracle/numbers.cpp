#include "numbers.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace oracle {

namespace {
constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
}  // namespace

float_format const e4m3{3, -6, 448.0, true, 0x80, 0, 0x7F};
float_format const bf16{7, -126, (2.0 - 0x1p-7) * 0x1p127, false, 0x8000, 0x7F80, 0x7FC0};
float_format const fp16{10, -14, 65504.0, false, 0x8000, 0x7C00, 0x7E00};

double float_format::nearest(double x) const {
  if (std::isnan(x) || x == 0.0) return x;
  double a = std::fabs(x);
  if (!std::isinf(a)) {
    double const unit = std::ldexp(1.0, std::max(std::ilogb(a), lowest) - mantissa);
    a = std::nearbyint(a / unit) * unit;  // a / unit is exact
  }
  if (a > largest) a = saturates ? largest : inf;
  return std::copysign(a, x);
}

std::uint32_t float_format::encode(double x) const {
  if (std::isnan(x)) return nan;
  double const a = std::fabs(nearest(x));
  std::uint32_t const s = std::signbit(x) ? sign : 0;
  if (a == 0.0) return s;
  if (std::isinf(a)) return s | infinity;
  int const e = std::max(std::ilogb(a), lowest);
  auto const m = static_cast<std::uint32_t>(std::ldexp(a, mantissa - e));  // with its leading one, which carries into the exponent field
  return s | ((static_cast<std::uint32_t>(e - lowest) << mantissa) + m);
}

double float_format::decode(std::uint32_t code) const {
  std::uint32_t const c = code & (sign - 1);
  if (saturates ? c == nan : c > infinity) return not_a_number;
  double const s = (code & sign) != 0 ? -1.0 : 1.0;
  if (!saturates && c == infinity) return s * inf;
  std::uint32_t const one = std::uint32_t{1} << mantissa;
  auto const field = static_cast<int>(c >> mantissa);
  double const m = (c & (one - 1)) + (field > 0 ? one : 0u);
  return s * std::ldexp(m, std::max(field, 1) - 1 + lowest - mantissa);
}

float e8m0_value(std::uint8_t code) {
  return code == 255 ? std::numeric_limits<float>::quiet_NaN() : static_cast<float>(std::ldexp(1.0, int{code} - 127));
}

std::uint8_t e8m0_not_below(float scale) {
  if (!std::isfinite(scale)) return 255;
  int code = 0;
  while (code < 254 && e8m0_value(static_cast<std::uint8_t>(code)) < scale) ++code;
  return static_cast<std::uint8_t>(code);
}

}  // namespace oracle
