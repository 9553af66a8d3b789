// The grouped GEMM: near float64, the same bits for any number of threads, and for a row the same bits in any batch.
#pragma once

#include <moesaic/pipeline/stages.hpp>
#include <oracle/stages.hpp>

#include "quantized_buffers.hpp"
#include "weights.hpp"

namespace conformance {

enum class rows_format { f32, e4m3, e4m3_ue8m0 };

// Rows in the three formats, and their values.
template <rows_format R>
struct gemm_operand {
  using scale = std::conditional_t<R == rows_format::e4m3_ue8m0, std::uint8_t, float>;
  std::int64_t stride;
  buffer<float> plain;
  quantized_buffers<scale> quantized;

  gemm_operand(std::int64_t rows, std::int64_t cols, oracle::random& r)
      : stride(cols + 4), plain(rows * stride), quantized(R == rows_format::f32 ? 0 : rows, cols) {
    for (float& v : plain) v = r.normal();
    for (std::int64_t row = 0; row < quantized.rows; ++row) {
      oracle::quantized_row const q = oracle::quantize(&plain[row * stride], static_cast<int>(cols), R == rows_format::e4m3_ue8m0);
      std::copy(q.codes.begin(), q.codes.end(), &quantized.codes[row * cols]);
      for (std::int64_t b = 0; b < moesaic::ceil_div(cols, 128); ++b) {
        float const s = q.scales[static_cast<std::size_t>(b)];
        quantized.view().scale(b, row) =
            R == rows_format::e4m3_ue8m0 ? static_cast<scale>(oracle::e8m0_not_below(s)) : static_cast<scale>(s);
      }
    }
  }

  auto view(std::int64_t rows) const {
    if constexpr (R == rows_format::f32)
      return moesaic::f32_rows(plain.data(), rows, quantized.cols, stride);
    else
      return quantized.view();
  }
  std::vector<double> exact(std::int64_t row) const {
    std::vector<double> out;
    for (std::int64_t c = 0; c < quantized.cols; ++c)
      if constexpr (R == rows_format::f32)
        out.push_back(value(plain[row * stride + c]));
      else
        out.push_back(oracle::e4m3.decode(quantized.codes[row * quantized.cols + c]) *
                      static_cast<double>(scale_value(quantized.view().scale(c / 128, row))));
    return out;
  }
};

// Five experts with these numbers of rows, in this order, and some rows behind the last expert's that are nobody's. Gathered rows come from
// 94 or more tokens through slots in any order, two experts a token.
inline constexpr int gemm_rows[] = {7, 0, 130, 1, 50};
inline constexpr int gemm_experts = 5, gemm_top_k = 2;
inline constexpr std::int64_t rows_of_experts = 188, rows_of_nobody = 4, all_rows = rows_of_experts + rows_of_nobody;

template <moesaic::weight_format F, rows_format R, std::int64_t N, std::int64_t K>
struct gemm_case {
  static constexpr moesaic::weight_format format = F;
  static constexpr rows_format format_of_rows = R;

  oracle::random random = random_for(8, static_cast<std::uint64_t>(N), static_cast<std::uint64_t>(K));
  stored_weights<F> weights{gemm_experts, N, K, random};
  gemm_operand<R> rows{all_rows, K, random};                        // one per row, or its first half one per token
  buffer<std::int32_t> offsets{gemm_experts + 1}, slots{all_rows};  // slots = row_to_slot

  gemm_case() {
    offsets[0] = 0;
    for (int e = 0; e < gemm_experts; ++e) offsets[e + 1] = offsets[e] + gemm_rows[e];
    for (std::int32_t i = 0; i < all_rows; ++i) slots[i] = i;
    for (int i = rows_of_experts - 1; i > 0; --i) std::swap(slots[i], slots[random.below(i + 1)]);
    for (std::int64_t i = rows_of_experts; i < all_rows; ++i) slots[i] = -1;
  }
  static std::string name() {
    char const* const formats[] = {"f32", "bf16", "e4m3_128x128"};
    char const* const rows[] = {"f32", "e4m3", "e4m3_ue8m0"};
    return std::string(formats[static_cast<int>(F)]) + " weights [" + std::to_string(N) + ", " + std::to_string(K) + "], " +
           rows[static_cast<int>(R)] + " rows";
  }
  static constexpr std::int64_t n = N, k = K;

  moesaic::weight_matrices<F> stored(bool table) { return table ? weights.by_table() : weights.by_stride(); }
  int number_of(int e, bool table) const { return table ? gemm_experts - 1 - e : e; }  // of the matrix in `weights`
  static int expert_of(std::int64_t row) {
    int e = 0;
    for (std::int64_t end = gemm_rows[0]; row >= end; end += gemm_rows[e]) ++e;
    return e;
  }
  std::int64_t source(std::int64_t row, bool gathered) const { return gathered ? slots[row] / gemm_top_k : row; }
  auto input(bool gathered) const {
    auto view = rows.view(all_rows);
    return gathered ? moesaic::gemm_input{view, slots.data(), gemm_top_k} : moesaic::gemm_input{view};
  }
};

template <class Case, class F>
void run_gemm_case(F const& f) {
  SCOPED_TRACE(Case::name());
  Case c;
  f(c);
  report().count("grouped GEMM (test, case)");
}
template <class F>
void for_each_gemm_case(F const& f) {
  using enum moesaic::weight_format;
  run_gemm_case<gemm_case<e4m3_128x128, rows_format::f32, 576, 192>>(f);
  run_gemm_case<gemm_case<e4m3_128x128, rows_format::e4m3, 192, 320>>(f);
  run_gemm_case<gemm_case<e4m3_128x128, rows_format::e4m3, 256, 640>>(f);  // whole blocks
  run_gemm_case<gemm_case<e4m3_128x128, rows_format::e4m3_ue8m0, 320, 576>>(f);
  run_gemm_case<gemm_case<moesaic::weight_format::bf16, rows_format::f32, 96, 40>>(f);
  run_gemm_case<gemm_case<moesaic::weight_format::f32, rows_format::f32, 40, 96>>(f);
  run_gemm_case<gemm_case<moesaic::weight_format::bf16, rows_format::e4m3, 320, 192>>(f);
}

// Rows of out with a gap behind each; untouched where the GEMM has nothing to write.
struct gemm_output {
  std::int64_t rows, cols, stride;
  buffer<float> values;
  gemm_output(std::int64_t r, std::int64_t n) : rows(r), cols(n), stride(n + 4), values(r * stride) {}
  moesaic::matrix_view<float> view() const { return {values.data(), rows, cols, stride}; }
  float const* row(std::int64_t r) const { return values.data() + r * stride; }
};

template <class Case>
gemm_output run_gemm(stamp::context_type const& ctx, Case& c, prepared<Case::format> const& w, bool gathered) {
  gemm_output out(all_rows, c.n);
  need(moesaic::grouped_gemm(ctx, c.input(gathered), w.weights, c.offsets.data(), out.view()));
  stamp::finish();
  return out;
}

// Relative RMS error over all outputs; each output also keeps the bound that holds for any order inside a block of 128 columns.
struct error_sum {
  double error = 0, exact = 0;
  void add(double y, double right) { error += (y - right) * (y - right), exact += right * right; }
  double relative() const { return exact > 0 ? std::sqrt(error / exact) : std::sqrt(error); }
};

// Measured with nine seeds: at most 2.0e-7 for fp32 rows, of whose products up to 128 are added one after another, and 8e-8 for E4M3 rows,
// whose products have few bits.
inline constexpr double gemm_rms_bound = 2.5e-7;

// … unless the backend has an engine of its own for E4M3 rows and weights, and says how far from float64 that is: for the RMS, and for a
// single output as a share of the sum of its terms' magnitudes. B::e4m3_error is for whole blocks.
template <class Case, class B>
double own_error() {
  constexpr bool codes = Case::format == moesaic::weight_format::e4m3_128x128 && Case::format_of_rows != rows_format::f32;
  if constexpr (requires { B::e4m3_error; })
    if (codes && Case::format_of_rows == rows_format::e4m3 && Case::n % 128 == 0 && Case::k % 128 == 0) return B::e4m3_error;
  return codes ? error_of_codes<B>() : 0.0;
}

TEST(gemm, stays_near_float64) {
  for_each_gemm_case([](auto& c) {
    for (bool const table : {false, true})
      for (bool const gathered : {false, true}) {
        stamp::context_type const ctx = stamp::context(stamp::settings[0]);
        prepared<std::remove_reference_t<decltype(c)>::format> const w(ctx, c.stored(table));
        gemm_output const out = run_gemm(ctx, c, w, gathered);
        double const own = own_error<std::remove_reference_t<decltype(c)>, stamp::context_type>();
        error_sum sum;
        for (int e = 0, row = 0; e < gemm_experts; ++e) {
          oracle::matrix exact = c.weights.exact(c.number_of(e, table)), magnitude = exact;
          for (double& v : magnitude.value) v = std::fabs(v);
          std::vector<double> right(static_cast<std::size_t>(c.n)), most(right.size());
          for (; row < c.offsets[e + 1]; ++row) {
            std::vector<double> x = c.rows.exact(c.source(row, gathered));
            oracle::multiply(x.data(), exact, right.data());
            for (double& v : x) v = std::fabs(v);
            oracle::multiply(x.data(), magnitude, most.data());
            for (std::size_t n = 0; n < right.size(); ++n) {
              double const y = value(out.row(row)[n]);
              sum.add(y, right[n]);
              ASSERT_LE(std::fabs(y - right[n]),
                        most[n] * (static_cast<double>(std::min<std::int64_t>(c.k, 128) + c.k / 128 + 4) * 0x1p-24 + own))
                  << "row " << row << ", column " << n;
            }
          }
        }
        EXPECT_LE(sum.relative(), gemm_rms_bound + own);
        report().error("grouped GEMM against float64, relative RMS, " + c.name(), sum.relative());
      }
  });
}

TEST(gemm, gives_the_same_bits_for_any_number_of_threads_and_any_place_of_its_operands) {
  for_each_gemm_case([](auto& c) {
    std::vector<gemm_output> first;
    for_each_setting([&](stamp::context_type const& ctx) {
      for (bool const table : {false, true}) {
        prepared<std::remove_reference_t<decltype(c)>::format> const w(ctx, c.stored(table));
        for (bool const gathered : {false, true})
          for (bool const again : {false, true}) {
            gemm_output out = run_gemm(ctx, c, w, gathered);
            std::size_t const which = (table ? 2 : 0) + (gathered ? 1 : 0);
            if (first.size() == which)
              first.push_back(std::move(out));
            else
              EXPECT_TRUE(same_bits(out.values, first[which].values))
                  << (table ? "table, " : "stride, ") << (gathered ? "gathered" : "in order") << again;
          }
      }
    });
  });
}

TEST(gemm, writes_no_row_of_nobody_and_nothing_between_rows) {
  for_each_gemm_case([](auto& c) {
    for_each_setting([&](stamp::context_type const& ctx) {
      prepared<std::remove_reference_t<decltype(c)>::format> const w(ctx, c.stored(false));
      gemm_output const out = run_gemm(ctx, c, w, true);
      EXPECT_TRUE(out.values.is_untouched(rows_of_experts * out.stride, rows_of_nobody * out.stride));
      for (std::int64_t r = 0; r < rows_of_experts; ++r) ASSERT_TRUE(out.values.is_untouched(r * out.stride + c.n, out.stride - c.n)) << r;
    });
  });
}

// Each row alone, then next to one other row of its expert, then next to a row of another expert: always the bits it has among all.
TEST(gemm, rows_do_not_depend_on_their_batch) {
  for_each_gemm_case([](auto& c) {
    for_each_setting([&](stamp::context_type const& ctx) {
      prepared<std::remove_reference_t<decltype(c)>::format> const w(ctx, c.stored(true));
      gemm_output const together = run_gemm(ctx, c, w, true);
      auto expect_same = [&](std::vector<std::int64_t> const& some) {  // ascending, so that experts ascend
        auto const rows = static_cast<std::int64_t>(some.size());
        buffer<std::int32_t> const slots(rows), offsets(std::vector<std::int32_t>(gemm_experts + 1, 0));
        for (std::int64_t i = 0; i < rows; ++i) {
          std::int64_t const row = some[static_cast<std::size_t>(i)];
          slots[i] = c.slots[row];
          for (int e = c.expert_of(row); e < gemm_experts; ++e) ++offsets[e + 1];
        }
        gemm_output const out(rows, c.n);
        auto input = c.input(true);
        input.row_to_slot = slots.data();
        need(moesaic::grouped_gemm(ctx, input, w.weights, offsets.data(), out.view()));
        stamp::finish();
        for (std::int64_t i = 0; i < rows; ++i)
          ASSERT_TRUE(same_bits(out.row(i), together.row(some[static_cast<std::size_t>(i)]), c.n))
              << "row " << some[static_cast<std::size_t>(i)] << ", one of " << rows;
      };
      for (std::int64_t row = 0; row < rows_of_experts; row += row < 12 || row > 180 ? 1 : 11) {
        ASSERT_NO_FATAL_FAILURE(expect_same({row}));
        if (row + 1 < rows_of_experts) {
          ASSERT_NO_FATAL_FAILURE(expect_same({row, row + 1}));
        }
        if (row > 20) {
          ASSERT_NO_FATAL_FAILURE(expect_same({row % 7, row}));
        }
      }
      std::vector<std::int64_t> most;
      for (std::int64_t row = 1; row < rows_of_experts; row += row % 5 == 0 ? 2 : 1) most.push_back(row);
      ASSERT_NO_FATAL_FAILURE(expect_same(most));
    });
  });
}

TEST(gemm, without_offsets_gives_all_rows_to_one_expert) {
  for_each_gemm_case([](auto& c) {
    for_each_setting([&](stamp::context_type const& ctx) {
      auto one = c.stored(false);
      one.experts = 1;
      prepared<std::remove_reference_t<decltype(c)>::format> const w(ctx, one);
      buffer<std::int32_t> const offsets(std::vector<std::int32_t>{0, static_cast<std::int32_t>(all_rows)});
      gemm_output const with(all_rows, c.n), without(all_rows, c.n);
      need(moesaic::grouped_gemm(ctx, c.input(false), w.weights, offsets.data(), with.view()));
      need(moesaic::grouped_gemm(ctx, c.input(false), w.weights, nullptr, without.view()));
      stamp::finish();
      EXPECT_TRUE(same_bits(with.values, without.values));
      EXPECT_FALSE(without.values.is_untouched(0));
    });
  });
}

}  // namespace conformance
