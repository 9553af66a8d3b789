// silu(gate) · up: the reference's bits, float64's value, and one rounding.
#pragma once

#include <moesaic/pipeline/stages.hpp>
#include <oracle/stages.hpp>

#include "expected.hpp"
#include "quantize.hpp"
#include "suite.hpp"

namespace conformance {

inline constexpr std::int64_t activation_cols[] = {8, 96, 192, 320};
inline constexpr std::int64_t activation_rows = 37;

// Gate and up without gaps. Values that hidden rows have; beyond them zeros, denormals, large numbers; in the last two rows NaN,
// infinities.
struct activation_input {
  std::int64_t cols;
  buffer<float> gate, up;

  explicit activation_input(std::int64_t n) : cols(n), gate(activation_rows * n), up(activation_rows * n) {
    oracle::random random = random_for(5, static_cast<std::uint64_t>(n));
    for (std::int64_t r = 0; r < activation_rows; ++r)
      for (std::int64_t c = 0; c < n; ++c) {
        float const scale = r % 4 == 3 ? 1e-3F : r % 4 == 2 ? 30.0F : 3.0F;
        float g = random.normal() * scale, u = random.normal();
        if (r == 5) g = random.below(2) == 0 ? 0.0F : -0.0F;
        if (r == 6) g *= 0x1p-130F, u *= 1e3F;
        if (r == 9) u *= 1e30F;
        if (r >= activation_rows - 2 && random.below(5) == 0) (random.below(2) == 0 ? g : u) = random.below(3) == 0 ? NAN : -INFINITY;
        gate[r * n + c] = g;
        up[r * n + c] = u;
      }
  }
  moesaic::matrix_view<float const> view(buffer<float> const& b) const { return {b.data(), activation_rows, cols}; }
};

// How many units of the last place of an fp32 as large as `exact` lie between y and `exact`.
inline double ulps(double y, double exact) {
  int const exponent = exact == 0.0 ? -126 : std::max(std::ilogb(exact), -126);
  return std::fabs(y - exact) / std::ldexp(1.0, exponent - 23);
}

template <moesaic::activation_format F>
void check_activation(stamp::context_type const& ctx, activation_input const& in, expected::element format) {
  std::int64_t const size = activation_rows * in.cols;
  buffer<float> const right(size), exact(size);
  expected::activation(format, in.gate.data(), in.up.data(), activation_rows, in.cols, right.data());
  expected::activation(expected::element::f32, in.gate.data(), in.up.data(), activation_rows, in.cols, exact.data());
  for (std::int64_t i = 0; i < size; ++i) {
    double const once = format == expected::element::f32
                            ? static_cast<double>(exact[i])
                            : (format == expected::element::bf16 ? oracle::bf16 : oracle::fp16).nearest(value(exact[i]));
    ASSERT_EQ(bits(right[i]), bits(static_cast<float>(once))) << "element " << i << " of " << exact[i];
  }

  std::int64_t const stride = in.cols + 4;
  buffer<float> const apart(activation_rows * stride);
  need(moesaic::activation<F>(ctx, in.view(in.gate), in.view(in.up),
                              moesaic::matrix_view<float>(apart.data(), activation_rows, in.cols, stride)));
  stamp::finish();
  for (std::int64_t r = 0; r < activation_rows; ++r) {
    EXPECT_TRUE(same_bits(&apart[r * stride], &right[r * in.cols], in.cols)) << "row " << r;
    EXPECT_TRUE(apart.is_untouched(r * stride + in.cols, 4)) << "behind row " << r;
  }

  // In place of either operand, and only as many rows as a number on the device says.
  for (std::int32_t const count : {0, 1, 20, static_cast<std::int32_t>(activation_rows)}) {
    buffer<std::int32_t> const row_count(std::vector<std::int32_t>{count});
    for (bool const over_gate : {true, false}) {
      buffer<float> const gate(in.gate), up(in.up);
      buffer<float> const &out = over_gate ? gate : up, &before = over_gate ? in.gate : in.up;
      need(moesaic::activation<F>(ctx, in.view(gate), in.view(up), moesaic::matrix_view<float>(out.data(), activation_rows, in.cols),
                                  row_count.data()));
      stamp::finish();
      EXPECT_TRUE(same_bits(out.data(), right.data(), count * in.cols));
      EXPECT_TRUE(same_bits(&out[count * in.cols], &before[count * in.cols], size - count * in.cols)) << "rows behind the count";
    }
  }
  report().count("activation (columns, format, setting)");
}

template <class Scale>
void check_quantized_activation(stamp::context_type const& ctx, activation_input const& in) {
  quantized_buffers<Scale> const right(activation_rows, in.cols);
  expected::activation_quantized(in.gate.data(), in.up.data(), activation_rows, in.cols, sizeof(Scale) == 1, right.codes.data(),
                                 right.scales.data());
  buffer<float> const plain(activation_rows * in.cols);
  expected::activation(expected::element::f32, in.gate.data(), in.up.data(), activation_rows, in.cols, plain.data());
  for (std::int32_t const count : {0, 20, static_cast<std::int32_t>(activation_rows)}) {
    buffer<std::int32_t> const row_count(std::vector<std::int32_t>{count});
    quantized_buffers<Scale> const out(activation_rows, in.cols);
    need(moesaic::activation(ctx, in.view(in.gate), in.view(in.up), out.view(), count == activation_rows ? nullptr : row_count.data()));
    stamp::finish();
    EXPECT_TRUE(same_bits(out.codes.data(), right.codes.data(), count * in.cols));
    EXPECT_TRUE(out.codes.is_untouched(count * in.cols, (activation_rows - count) * in.cols));
    for (std::int64_t r = 0; r < count; ++r)
      ASSERT_NO_FATAL_FAILURE(expect_quantized(out, r, std::vector<float>(&plain[r * in.cols], &plain[r * in.cols] + in.cols)));
    if (count == activation_rows) {
      EXPECT_TRUE(same_rows(out, right));
    }
  }
  report().count("activation (columns, format, setting)");
}

TEST(activation, gives_the_reference_bits_rounded_once) {
  for (std::int64_t const cols : activation_cols) {
    activation_input const in(cols);
    for_each_setting([&](stamp::context_type const& ctx) {
      check_activation<moesaic::activation_format::f32>(ctx, in, expected::element::f32);
      check_activation<moesaic::activation_format::bf16>(ctx, in, expected::element::bf16);
      check_activation<moesaic::activation_format::fp16>(ctx, in, expected::element::fp16);
      check_quantized_activation<float>(ctx, in);
      check_quantized_activation<std::uint8_t>(ctx, in);
    });
  }
}

// Down to −87 sigmoid is a normal fp32 number. Below, it is denormal or nearly so, and good to two units of 2^−149, times the gate.
TEST(activation, is_silu_within_4_ulp_of_float64) {
  constexpr std::int64_t rows = 64, cols = 256;
  buffer<float> const gate(rows * cols), up(rows * cols), out(rows * cols);
  oracle::random random = random_for(6);
  for (std::int64_t i = 0; i < rows * cols; ++i) {
    gate[i] =
        static_cast<float>(i % 2 == 0 ? random.uniform() * 240.0 - 120.0 : std::ldexp(random.uniform() * 2 - 1, random.below(30) - 24));
    up[i] = i < rows * cols / 2 ? 1.0F : random.normal();
  }
  moesaic::matrix_view<float const> const g(gate.data(), rows, cols), u(up.data(), rows, cols);
  need(moesaic::activation(stamp::context(stamp::settings[0]), g, u, moesaic::matrix_view<float>(out.data(), rows, cols)));
  stamp::finish();
  for (std::int64_t i = 0; i < rows * cols; ++i) {
    double const exact = oracle::silu(value(gate[i])) * value(up[i]);
    if (gate[i] < -87.0F) {
      ASSERT_LE(std::fabs(value(out[i]) - exact), (2 * std::fabs(value(gate[i])) + 1) * std::fabs(value(up[i])) * 0x1p-149 + 0x1p-149)
          << "gate " << gate[i];
      continue;
    }
    double const e = ulps(value(out[i]), exact);
    ASSERT_LE(e, 4.0) << "gate " << gate[i] << ", up " << up[i];
    report().error("activation against float64, in units of the last place", e);
  }
}

}  // namespace conformance
