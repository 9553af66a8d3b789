// What the card can do, measured: the denominators of every share that a GPU benchmark of this repository prints. Under 25 seconds.
//   bench_gpu_ceilings [--out FILE] [--cublaslt PATH] [--only bandwidth,launch,gemm] [--gib N]
// FILE gets one JSON object a line. Bandwidth counts bytes read plus bytes written. Shapes are M x N x K of Y[M, N] = X[M, K] W[N, K]^T.
#include <cstdlib>
#include <string>

#include "ceiling_bandwidth.hpp"
#include "ceiling_launch.hpp"
#include "ceiling_products.hpp"

namespace {

using namespace gpu;

void describe(bench& b) {
  int driver = 0, runtime = 0;
  ok(cudaDriverGetVersion(&driver));
  ok(cudaRuntimeGetVersion(&runtime));
  std::printf("%s, %d multiprocessors, L2 %.1f MB, %.1f GB, driver for CUDA %d, runtime %d; SM %u MHz, memory %u MHz, %u W, %u C\n",
              b.card.name, b.card.multiProcessorCount, b.card.l2CacheSize / 1e6, static_cast<double>(b.card.totalGlobalMem) / 1e9, driver,
              runtime, b.clocks.sm_mhz(), b.clocks.memory_mhz(), b.clocks.watts(), b.clocks.celsius());
  b.out.write(json()
                  .add("item", "card")
                  .add("name", b.card.name)
                  .add("sms", b.card.multiProcessorCount)
                  .add("l2_bytes", b.card.l2CacheSize)
                  .add("bytes", b.card.totalGlobalMem)
                  .add("cuda_driver", driver)
                  .add("cuda_runtime", runtime)
                  .add("nvml", b.clocks.ready())
                  .add("sm_mhz", b.clocks.sm_mhz())
                  .add("memory_mhz", b.clocks.memory_mhz())
                  .add("watts", b.clocks.watts())
                  .add("celsius", b.clocks.celsius()));
}

}  // namespace

int main(int argc, char** argv) try {
  std::string out, cublaslt_path = "libcublasLt.so.13", only = "bandwidth,launch,gemm";
  std::int64_t gib = 6;
  for (int i = 1; i < argc; ++i) {
    std::string const key = argv[i];
    if (i + 1 == argc) throw std::runtime_error(key + " needs a value");
    std::string const value = argv[++i];
    if (key == "--out")
      out = value;
    else if (key == "--cublaslt")
      cublaslt_path = value;
    else if (key == "--only")
      only = value;
    else if (key == "--gib")
      gib = std::atoll(value.c_str());
    else
      throw std::runtime_error("unknown argument " + key);
  }
  if (gib < 1) throw std::runtime_error("--gib must be 1 or more");

  if (!has_gpu()) return 77;
  bench b(out);
  describe(b);
  auto const wanted = [&](char const* section) { return only.find(section) != std::string::npos; };
  if (wanted("launch")) b.guarded("launch", [&] { launches(b); });
  if (wanted("bandwidth")) b.guarded("bandwidth", [&] { bandwidth(b, gib << 30).run(); });
  if (wanted("gemm")) b.guarded("gemm", [&] { products(b, cublaslt_path); });
  std::printf("%.1f s; SM %u MHz, %u W, %u C; %d failed\n", b.seconds(), b.clocks.sm_mhz(), b.clocks.watts(), b.clocks.celsius(),
              b.failures);
  return b.failures == 0 ? 0 : 1;
} catch (std::exception const& e) {
  std::printf("FAILED  %s\n", e.what());
  return 1;
}
