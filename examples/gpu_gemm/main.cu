// The staircase: every step on the same random numbers, checked against sums in float64, then timed with a cold L2 cache. A line for each:
// step, microseconds, TFLOP/s, relative error, OK or what is wrong.
//   gpu_gemm_stairs [--rows N]     N: rows of x, rounded up to 128 for each of the 8 experts; 8192 unless told
// Exit status 1 if a step is wrong, 77 without a GPU that can run it.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>

#include <moesaic/cuda/requires.hpp>

#include "measure.hpp"

namespace stairs {

namespace {

/// Every tile of the output is somebody's, and nobody's twice, in rows of its expert. Said by the compiler, for two tile rows an expert.
template <int Columns>
constexpr bool tiles_cover() {
  constexpr int rows = 2 * experts * tile_rows, n_tiles = n / Columns, tiles = rows / tile_rows * n_tiles;
  bool seen[tiles] = {};
  for (int i = 0; i < tiles; ++i) {
    tile const t = tile_at<Columns>(i, rows);
    int const at = t.row / tile_rows * n_tiles + t.column / Columns;
    if (at < 0 || at >= tiles || seen[at] || t.row / (2 * tile_rows) != t.expert) return false;
    seen[at] = true;
  }
  return true;
}
static_assert(tiles_cover<block>() && tiles_cover<2 * block>());

int run(int rows) {
  cudaDeviceProp card{};
  ok(cudaGetDeviceProperties(&card, 0), "cudaGetDeviceProperties");
  std::printf("%s; %d experts, M %d, N %d, K %d\n", card.name, experts, rows, n, k);
  bench b(rows);
  problem const& p = b.operands();
  bool right = b.step("1 naive", naive(p), false);
  right &= b.step("2 tma", tma(p), false);
  right &= b.step("3 pipeline", pipeline(p), false);
  right &= b.step("4 promotion", promotion(p), false);
  right &= b.step("5 fused", fused(p), true);
  return right ? 0 : 1;
}

}  // namespace

}  // namespace stairs

int main(int argc, char** argv) try {
  int rows = 8192;
  if (argc == 3 && std::strcmp(argv[1], "--rows") == 0)
    rows = std::atoi(argv[2]);
  else if (argc != 1)
    return std::printf("usage: %s [--rows N]\n", argv[0]), 2;
  constexpr int unit = stairs::experts * stairs::tile_rows;
  if (rows < 1 || rows > 256 * unit) return std::printf("--rows: 1 to %d\n", 256 * unit), 2;
  if (auto const s = moesaic::cuda::runs_on_this_device(); !s)
    return std::printf("no GPU that can run this: %s\n", moesaic::describe(s).c_str()), 77;
  return stairs::run((rows + unit - 1) / unit * unit);
} catch (std::exception const& e) {
  std::printf("FAILED  %s\n", e.what());
  return 1;
}
