// The activation quantiser: the bits of the oracle and of the reference.
#pragma once

#include <moesaic/pipeline/stages.hpp>
#include <oracle/stages.hpp>

#include "expected.hpp"
#include "quantized_buffers.hpp"
#include "suite.hpp"

namespace conformance {

inline constexpr std::int64_t quantize_rows[] = {0, 1, 3, 4, 70};
inline constexpr std::int64_t quantize_cols[] = {8, 40, 96, 128, 136, 320, 576};

// Row r of the data that quantisers meet: plain, zero, huge, tiny, one outlier, exact halves between codes, NaN, infinite.
template <class T>
void fill_row(T* row, std::int64_t cols, std::int64_t r, oracle::random& random) {
  float const largest = std::is_same_v<T, fp16> ? 65504.0F : 3e38F;
  for (std::int64_t c = 0; c < cols; ++c) {
    double const z = static_cast<double>(random.normal());
    double v = z;
    switch (r % 10) {
      case 1: v = random.below(2) == 0 ? 0.0 : -0.0; break;
      case 2: v = z / 6 * static_cast<double>(largest); break;
      case 3: v = z * 1e-6; break;
      case 4: v = z * 0x1p-140; break;
      case 5: v = c == cols / 2 ? 3000.0 : z; break;
      case 6: v = (c == 0 ? 448.0 : random.below(240) * 0.0625) * (random.below(2) == 0 ? 1 : -1); break;
      case 7: v = c == cols / 2 ? NAN : z; break;
      case 8: v = c == cols - 1 ? -INFINITY : z; break;
      case 9: v = random.below(4) == 0 ? (random.below(2) == 0 ? NAN : INFINITY) : z; break;
      default: break;
    }
    row[c] = rounded<T>(v);
  }
}

template <class Scale>
testing::AssertionResult same_rows(quantized_buffers<Scale> const& a, quantized_buffers<Scale> const& b) {
  if (auto r = same_bits(a.codes, b.codes); !r) return r << " (codes)";
  return same_bits(a.scales, b.scales) << " (scales)";
}

// `out` is what the oracle makes of `row`, an fp32 row: the bits where all is finite, NaN all over a block that holds a NaN or infinity.
template <class Scale>
void expect_quantized(quantized_buffers<Scale> const& out, std::int64_t r, std::vector<float> const& row) {
  oracle::quantized_row const right = oracle::quantize(row.data(), static_cast<int>(row.size()), sizeof(Scale) == 1);
  for (std::size_t c = 0; c < row.size(); ++c) {
    auto const b = static_cast<std::int64_t>(c / 128);
    float const scale = scale_value(out.view().scale(b, r));
    std::uint8_t const code = out.codes[r * out.cols + static_cast<std::int64_t>(c)];
    if (std::isfinite(right.scales[c / 128])) {
      ASSERT_EQ(code, right.codes[c]) << "row " << r << ", column " << c << ", value " << row[c];
      ASSERT_EQ(bits(scale), bits(right.scales[c / 128])) << "row " << r << ", block " << b;
    } else {
      ASSERT_TRUE(std::isnan(oracle::e4m3.decode(code) * static_cast<double>(scale))) << "row " << r << ", column " << c;
    }
  }
}
template <class Scale>
void expect_zero_padding(quantized_buffers<Scale> const& out) {
  for (std::int64_t b = 0; b < moesaic::ceil_div(out.cols, 128); ++b)
    for (std::int64_t r = out.rows; r < out.view().scale_stride; ++r) ASSERT_EQ(bits(out.view().scale(b, r)), 0u) << "padding row " << r;
}

template <class T>
inline constexpr expected::element element_of = std::is_same_v<T, float>  ? expected::element::f32
                                                : std::is_same_v<T, bf16> ? expected::element::bf16
                                                                          : expected::element::fp16;

template <class T, class Scale>
void check_quantize(std::int64_t rows, std::int64_t cols, std::int64_t gap) {
  oracle::random random = random_for(4, static_cast<std::uint64_t>(rows), static_cast<std::uint64_t>(cols));
  std::int64_t const stride = cols + gap;
  buffer<T> const x(rows * stride);
  for (std::int64_t r = 0; r < rows; ++r) fill_row(&x[r * stride], cols, r + cols / 8, random);
  quantized_buffers<Scale> const expected(rows, cols);
  expected::quantize({element_of<T>, x.data(), rows, cols, stride}, sizeof(Scale) == 1, expected.codes.data(), expected.scales.data());
  for_each_setting([&](stamp::context_type const& ctx) {
    quantized_buffers<Scale> const out(rows, cols);
    need(moesaic::quantize(ctx, moesaic::matrix_view<T const>(x.data(), rows, cols, stride), out.view()));
    stamp::finish();
    EXPECT_TRUE(same_rows(out, expected));
    for (std::int64_t r = 0; r < rows; ++r) {
      std::vector<float> row;
      for (std::int64_t c = 0; c < cols; ++c) row.push_back(static_cast<float>(value(x[r * stride + c])));
      ASSERT_NO_FATAL_FAILURE(expect_quantized(out, r, row));
    }
    if (rows > 0) expect_zero_padding(out);
    report().count("quantize (rows, columns, types, setting)");
  });
}

template <class Scale>
void check_quantize_all() {
  for (std::int64_t const rows : quantize_rows)
    for (std::int64_t const cols : quantize_cols) {
      SCOPED_TRACE(std::to_string(rows) + " rows of " + std::to_string(cols));
      check_quantize<float, Scale>(rows, cols, 0);
      check_quantize<bf16, Scale>(rows, cols, 8);
      check_quantize<fp16, Scale>(rows, cols, 16);
    }
}

TEST(quantize, with_fp32_scales_gives_the_bits_of_reference_and_oracle) { check_quantize_all<float>(); }
TEST(quantize, with_ue8m0_scales_gives_the_bits_of_reference_and_oracle) { check_quantize_all<std::uint8_t>(); }

}  // namespace conformance
