// Step 3: the grouped GEMM on FP8 weights. Rows sorted by expert (step 2) are multiplied by their expert's matrix, on several threads.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <moesaic/cpu.hpp>
#include <moesaic/cpu/thread_pool.hpp>
#include <random>
#include <vector>

struct alignas(64) line {  // memory that is handed to moesaic starts at a multiple of 64 bytes
  char bytes[64];
};

int main() {
  constexpr int experts = 2, rows = 5, n = 256, k = 384, block = moesaic::scale_block;  // 128
  std::int32_t const offsets[experts + 1] = {0, 2, rows};                               // rows 0 and 1 are expert 0's, 2 to 4 expert 1's
  static float w[experts][n][k];
  alignas(16) static float x[rows][k], y[rows][n];
  std::mt19937 bits;
  auto const random = [&] { return static_cast<float>(bits() >> 8) * 0x1p-23F - 1.0F; };
  std::generate_n(&x[0][0], rows * k, random);
  std::generate_n(&w[0][0][0], experts * n * k, random);

  // FP8: E4M3 codes, and one scale for each block of 128 x 128, so that code * scale is about w. Checkpoints such as DeepSeek-V3's come so.
  static std::uint8_t code[experts][n][k];
  static float scale[experts][n / block][k / block], largest_in[experts][n / block][k / block];
  for (int i = 0; i < experts * n * k; ++i) {
    int const e = i / (n * k), r = i / k % n, c = i % k;
    largest_in[e][r / block][c / block] = std::max(largest_in[e][r / block][c / block], std::fabs(w[e][r][c]));
  }
  for (int i = 0; i < experts * n * k; ++i) {
    int const e = i / (n * k), r = i / k % n, c = i % k;
    scale[e][r / block][c / block] = moesaic::block_scale(largest_in[e][r / block][c / block]);
    code[e][r][c] = moesaic::quantize_e4m3(w[e][r][c], scale[e][r / block][c / block]);
  }

  // Once per load: from the checkpoint's layout to the one that the kernel reads, in memory of ours. `threads` does the work.
  moesaic::cpu::thread_pool threads(2);
  moesaic::cpu::on const ctx{threads};
  constexpr auto fp8 = moesaic::weight_format::e4m3_128x128;
  moesaic::weight_matrices<fp8> const stored{
      experts, n, k, /* from expert to expert */ {code[0][0], n * k}, {scale[0][0], n / block * (k / block)}};
  std::vector<line> home(moesaic::prepared_bytes(ctx, stored) / sizeof(line) + 1);
  decltype(ctx)::prepared_matrices<fp8> prepared;
  moesaic::status s = moesaic::prepare(ctx, stored, {home.data(), home.size() * sizeof(line)}, prepared);

  // y.row(r) = x.row(r) times the transpose of e's matrix, for the rows r of each expert e.
  moesaic::matrix_view<float const> const in(x[0], rows, k);
  if (s) s = moesaic::grouped_gemm(ctx, moesaic::gemm_input{in}, prepared, offsets, {y[0], rows, n});
  if (!s) return std::puts(moesaic::describe(s).c_str()), 1;

  // By hand, in double: over the codes as they are stored, and over the weights as they were before.
  double arithmetic = 0, storage = 0, largest = 0;
  for (int r = 0; r < rows; ++r)
    for (int i = 0; i < n; ++i) {
      int const e = r < offsets[1] ? 0 : 1;
      double of_codes = 0, of_weights = 0;
      for (int c = 0; c < k; ++c) {
        of_codes += double{x[r][c]} * double{moesaic::e4m3_to_float(code[e][i][c])} * double{scale[e][i / block][c / block]};
        of_weights += double{x[r][c]} * double{w[e][i][c]};
      }
      arithmetic = std::max(arithmetic, std::fabs(double{y[r][i]} - of_codes));
      storage = std::max(storage, std::fabs(of_codes - of_weights));
      largest = std::max(largest, std::fabs(of_weights));
    }
  bool const right = arithmetic < 1e-6 * largest;
  std::printf("%d experts, %d x %d, %d rows; weights in fp32 %d KiB, in fp8 with scales %d KiB\n", experts, n, k, rows,
              static_cast<int>(sizeof w) / 1024, static_cast<int>(sizeof code + sizeof scale) / 1024);
  std::printf("largest error, relative to the largest y:\n  of storing fp8     %.3f\n", storage / largest);
  std::printf("  of the arithmetic  %s\n", right ? "below 1e-6" : "TOO LARGE");
  return right ? 0 : 1;
}
