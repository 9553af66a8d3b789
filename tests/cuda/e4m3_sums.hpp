// Products of E4M3 codes as the tensor cores add them, with few bits: where they are made, how far that is from float64, and that it shows
// in no tile. After cuda/kernels_agree.hpp.
#pragma once

#include <cuda/kernels_agree.hpp>
#include <moesaic/cuda/gemm/operands.hpp>

namespace conformance {

// Cut so, sums of 128 columns, one chain of instructions as in Hopper's kernels, are 2.4e-4 from float64 in the case of 256 × 640, and an
// H200 was (docs/measured/2026-11-26_nvidia-h200/tests.log). What mma.sync keeps on other GPUs has not been measured.
inline constexpr int fraction_bits_of_a_gpu = 13;

struct sums_of_few_bits {
  sums_of_few_bits() { moesaic::cuda::ptx::e4m3_fraction_bits = fraction_bits_of_a_gpu; }
  sums_of_few_bits(sums_of_few_bits const&) = delete;
  sums_of_few_bits& operator=(sums_of_few_bits const&) = delete;
  ~sums_of_few_bits() { moesaic::cuda::ptx::e4m3_fraction_bits = 1000; }
};

template <class Case>
double relative_error(Case const& c, gemm_output const& out) {
  error_sum sum;
  for (int e = 0, row = 0; e < gemm_experts; ++e) {
    oracle::matrix const exact = c.weights.exact(e);
    std::vector<double> right(static_cast<std::size_t>(c.n));
    for (; row < c.offsets[e + 1]; ++row) {
      oracle::multiply(c.rows.exact(row).data(), exact, right.data());
      for (std::size_t n = 0; n < right.size(); ++n) sum.add(value(out.row(row)[n]), right[n]);
    }
  }
  return sum.relative();
}

TEST(e4m3_sums, of_few_bits_stay_near_float64_and_alike_in_every_kernel) {
  sums_of_few_bits const now;
  for_each_gemm_case([](auto& c) {
    using Case = std::remove_cvref_t<decltype(c)>;
    if constexpr (moesaic::cuda::is_one_bf16_term<Case::format>) {
      constexpr bool codes = Case::format == moesaic::weight_format::e4m3_128x128 && Case::format_of_rows != rows_format::f32;
      gemm_output const panel = run_kernel(c, false, [](auto const& g) { return moesaic::cuda::launch_panel_gemm(nullptr, 2, g); });
      double const error = relative_error(c, panel);
      report().error("grouped GEMM, sums of E4M3 products with 13 fraction bits, relative RMS, " + c.name(), error);
      if (codes && moesaic::cuda::has_e4m3_mma) {
        EXPECT_LE(error, 2e-4);
        EXPECT_GE(error, 5e-5);  // or it is not codes that were multiplied
      } else {
        EXPECT_LE(error, gemm_rms_bound);
      }
      for_each_portable_kernel([&](auto const& launch) { EXPECT_TRUE(same_bits(panel.values, run_kernel(c, false, launch).values)); });
    }
  });
}

}  // namespace conformance
