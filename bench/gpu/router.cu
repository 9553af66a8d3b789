// The Hopper router GEMM by itself, x and weights bf16, logits fp32: samples against float64, every tile's bits against each other's for
// any number of tokens, then times in turn with the portable kernels. About 8 seconds. Exit status 1 if a result is wrong, 77 without a
// GPU.
//   bench_gpu_router [--out FILE] [--check]
// FILE gets one JSON object a line. --check: no timing.
#include <cuda_runtime.h>

#include <cstring>
#include <moesaic/cuda/gemm/portable.hpp>
#include <moesaic/cuda/gemm/sm90/router_gemm.hpp>
#include <string>
#include <vector>

#include "bench.hpp"
#include "cold.hpp"
#include "random_data.hpp"

namespace {

using namespace gpu;
using namespace moesaic;
using cuda::sm90::router_tile;
using weights = weight_matrices<weight_format::bf16>;

constexpr std::int64_t most_tokens = 32768, most_hidden = 7168, most_experts = 256, first_token = 37;
constexpr int weight_copies = 24;  // more than L2 holds
constexpr std::uint32_t untouched = 0xA5A5'A5A5U;

void need(status const& s) {
  if (!s) throw std::runtime_error(moesaic::describe(s).c_str());
}

constexpr char const* tile_names[] = {"64 x 32", "64 x 64", "128 x 64", "128 x 128", "128 x 256", "chosen"};
constexpr int tiles = 5, chosen = 5;

struct shape {
  std::int64_t tokens, experts, hidden;
};

struct problem {
  bench& b;
  gpu::memory x{sizeof(bf16) * (most_tokens + first_token) * most_hidden};
  gpu::memory w{sizeof(bf16) * weight_copies * most_experts * most_hidden};
  gpu::memory out{sizeof(float) * (most_tokens + 2) * (most_experts + 4)}, right{sizeof(float) * most_tokens * most_experts};
  gpu::memory sums{64};

  explicit problem(bench& b_) : b(b_) {
    fill_normal<<<2048, 256, 0, b.s>>>(x.as<__nv_bfloat16>(), (most_tokens + first_token) * most_hidden, 1);
    ok(cudaGetLastError());
    fill_normal<<<2048, 256, 0, b.s>>>(w.as<__nv_bfloat16>(), weight_copies * most_experts * most_hidden, 2);
    ok(cudaGetLastError());
    b.s.wait();
  }
  matrix_view<bf16 const> rows(shape const& s, std::int64_t from = 0) const { return {x.as<bf16>() + from * s.hidden, s.tokens, s.hidden}; }
  weights matrix(shape const& s, int copy = 0) const {
    weights m{1, s.experts, s.hidden};
    m.codes.base = w.as<bf16>() + copy * most_experts * most_hidden;
    return m;
  }

  template <class Tile>
  status by(shape const& s, std::int64_t from, int copy, matrix_view<float> to) const {
    return cuda::sm90::launch_router_gemm<Tile>(b.s, rows(s, from), matrix(s, copy).codes.base, s.hidden, to);
  }
  void run(int tile, shape const& s, std::int64_t from, int copy, matrix_view<float> to) const {
    switch (tile) {
      case 0: return need(by<router_tile<64, 32>>(s, from, copy, to));
      case 1: return need(by<router_tile<64, 64>>(s, from, copy, to));
      case 2: return need(by<router_tile<128, 64>>(s, from, copy, to));
      case 3: return need(by<router_tile<128, 128>>(s, from, copy, to));
      case 4: return need(by<router_tile<128, 256>>(s, from, copy, to));
      default: break;
    }
    if (!cuda::sm90::takes_router(rows(s, from), matrix(s, copy))) throw std::runtime_error("takes_router says no");
    need(cuda::sm90::multiply_router(b.s, b.card.multiProcessorCount, rows(s, from), matrix(s, copy), to));
  }
  void run_portable(shape const& s, int copy, matrix_view<float> to) const {
    need(cuda::launch_portable_gemm(
        b.s, b.card.multiProcessorCount,
        cuda::gemm_arguments<matrix_view<bf16 const>, weight_format::bf16>{gemm_input{rows(s)}, matrix(s, copy), nullptr, to}));
  }
};

/// sums: squared error, squared size, error times size, largest error, all over `samples` elements, a warp each.
__global__ void sample_errors(matrix_view<bf16 const> x, bf16 const* w, matrix_view<float const> out, int samples, double* sums) {
  int const lane = static_cast<int>(threadIdx.x % 32), warps = static_cast<int>(gridDim.x * blockDim.x / 32);
  for (int s = static_cast<int>((blockIdx.x * blockDim.x + threadIdx.x) / 32); s < samples; s += warps) {
    auto const pick = static_cast<std::uint64_t>(s);
    std::int64_t const row =
        s < 256 ? out.rows - 1 - s % out.rows : static_cast<std::int64_t>(mix(2 * pick) % static_cast<std::uint64_t>(out.rows));
    auto const column = static_cast<std::int64_t>(mix(2 * pick + 1) % static_cast<std::uint64_t>(out.cols));
    double total = 0.0;
    for (std::int64_t i = lane; i < x.cols; i += 32)
      total += static_cast<double>(to_float(x(row, i))) * static_cast<double>(to_float(w[column * x.cols + i]));
    for (int lanes = 16; lanes > 0; lanes /= 2) total += __shfl_xor_sync(0xFFFFFFFFU, total, lanes);
    if (lane == 0) {
      double const d = static_cast<double>(out(row, column)) - total;
      atomicAdd(sums, d * d);
      atomicAdd(sums + 1, total * total);
      atomicAdd(sums + 2, d * total);
      // order of doubles ≥ 0 is that of their bits
      atomicMax(reinterpret_cast<unsigned long long*>(sums + 3), static_cast<unsigned long long>(__double_as_longlong(fabs(d))));
    }
  }
}

/// counts[0] += words of a that differ from b's row `from` on, counts[1] = the first; counts[2] += words of a's gaps, and of two rows
/// behind it, that were written.
__global__ void compare(matrix_view<float const> a, matrix_view<float const> b, std::int64_t from, unsigned long long* counts) {
  std::int64_t const words = (a.rows + 2) * a.stride;
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < words; i += std::int64_t{gridDim.x} * blockDim.x) {
    std::int64_t const r = i / a.stride, c = i % a.stride;
    std::uint32_t const bits = to_bits(a.data[i]);
    if (r < a.rows && c < a.cols) {
      if (bits != to_bits(b(from + r, c))) atomicAdd(counts, 1ULL), atomicMin(counts + 1, static_cast<unsigned long long>(i));
    } else if (bits != untouched) {
      atomicAdd(counts + 2, 1ULL);
    }
  }
}

struct checks {
  problem const& p;
  bench& b;
  int done = 0;

  void fail(std::string const& what, std::string const& why) {
    ++b.failures;
    std::printf("WRONG  %s: %s\n", what.c_str(), why.c_str());
    b.out.write(json().add("item", what).add("error", why));
  }
  static std::string label(shape const& s, int tile) {
    return std::string(tile_names[tile]) + ", T " + std::to_string(s.tokens) + " E " + std::to_string(s.experts) + " H " +
           std::to_string(s.hidden);
  }

  /// The errors of what a kernel has left in `right`.
  void errors(shape const& s, char const* what, double bound) {
    matrix_view<float const> const y(p.right.as<float>(), s.tokens, s.experts);
    double sum[4] = {};
    ok(cudaMemsetAsync(p.sums.as<double>(), 0, sizeof sum, b.s));
    sample_errors<<<1024, 256, 0, b.s>>>(p.rows(s), p.matrix(s).codes.base, y, 16384, p.sums.as<double>());
    ok(cudaGetLastError());
    ok(cudaMemcpyAsync(sum, p.sums.as<double>(), sizeof sum, cudaMemcpyDeviceToHost, b.s));
    b.s.wait();
    double const rms = std::sqrt(sum[0] / sum[1]), of_samples = std::sqrt(sum[1] / 16384);
    std::printf("%-10s T %5lld E %3lld H %4lld: relative RMS error %.2e, part along the result %+.2e, largest %.2e of the RMS size\n", what,
                static_cast<long long>(s.tokens), static_cast<long long>(s.experts), static_cast<long long>(s.hidden), rms, sum[2] / sum[1],
                sum[3] / of_samples);
    b.out.write(json()
                    .add("item", "router error")
                    .add("kernel", what)
                    .add("tokens", s.tokens)
                    .add("experts", s.experts)
                    .add("hidden", s.hidden)
                    .add("rms", rms)
                    .add("bias", sum[2] / sum[1])
                    .add("largest", sum[3] / of_samples));
    if (!(rms <= bound)) fail(what, "relative RMS error " + std::to_string(rms * 1e6) + "e-6");
  }

  /// Tokens `from` … of `all` with one tile: the bits that they have in `right`, and nothing written beside them.
  void same_bits(shape const& s, shape const& all, int tile, std::int64_t from, std::int64_t gap) {
    b.guarded(label(s, tile), [&] {
      matrix_view<float> const y(p.out.as<float>(), s.tokens, s.experts, s.experts + gap);
      ok(cudaMemsetAsync(y.data, 0xA5, static_cast<std::size_t>((s.tokens + 2) * y.stride) * sizeof(float), b.s));
      unsigned long long count[3] = {0, ~0ULL, 0};
      ok(cudaMemcpyAsync(p.sums.as<double>(), count, sizeof count, cudaMemcpyHostToDevice, b.s));
      p.run(tile, s, from, 0, y);
      compare<<<1024, 256, 0, b.s>>>(y, {p.right.as<float>(), all.tokens, all.experts}, from, p.sums.as<unsigned long long>());
      ok(cudaGetLastError());
      ok(cudaMemcpyAsync(count, p.sums.as<double>(), sizeof count, cudaMemcpyDeviceToHost, b.s));
      b.s.wait();
      ++done;
      if (count[0] != 0)
        fail(label(s, tile), std::to_string(count[0]) + " logits differ, the first at row " +
                                 std::to_string(count[1] / static_cast<unsigned long long>(y.stride)) + " column " +
                                 std::to_string(count[1] % static_cast<unsigned long long>(y.stride)));
      if (count[2] != 0) fail(label(s, tile), std::to_string(count[2]) + " words beside the result were written");
    });
  }

  void all_of(std::int64_t experts, std::int64_t hidden) {
    shape const all{hidden == most_hidden ? most_tokens : 4200, experts, hidden};
    b.guarded("reference of E " + std::to_string(experts), [&] {
      ok(cudaMemsetAsync(p.right.as<float>(), 0xFF, p.right.bytes(), b.s));
      p.run(0, all, 0, 0, {p.right.as<float>(), all.tokens, experts});
      b.s.wait();
      errors(all, "Hopper", 2.5e-7);
    });
    int const before = b.failures;
    for (std::int64_t const tokens : {1, 2, 63, 64, 65, 128, 129, 1000, 4096}) {
      for (int tile = 0; tile <= tiles; ++tile) {
        same_bits({tokens, experts, hidden}, all, tile, tokens == 4096 ? 64 : first_token, 0);
        if (tokens == 65 || tokens == 1) {
          same_bits({tokens, experts, hidden}, all, tile, 0, 4);
          same_bits({tokens, experts, hidden}, all, tile, 1, 1);  // rows that no 16 bytes fit
        }
      }
      if (b.failures - before > 20) return;
    }
    if (hidden == most_hidden)
      for (int const tile : {4, chosen, chosen}) same_bits(all, all, tile, 0, 0);
    std::printf("E %3lld H %4lld: bits compared, %d runs so far, %d failures\n", static_cast<long long>(experts),
                static_cast<long long>(hidden), done, b.failures);
    std::fflush(stdout);
  }
};

template <class Tile>
void print_clusters(bench& b, char const* name) {
  cudaLaunchAttribute attribute[1] = {};
  attribute[0].id = cudaLaunchAttributeClusterDimension;
  attribute[0].val.clusterDim = {cuda::sm90::router_ranks, 1, 1};
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(cuda::sm90::router_ranks);
  config.blockDim = dim3(Tile::threads);
  config.dynamicSmemBytes = Tile::shared_bytes;
  config.attrs = attribute;
  config.numAttrs = 1;
  need(cuda::allow_shared(cuda::sm90::router_gemm_kernel<Tile>, Tile::shared_bytes));
  int clusters = 0;
  ok(cudaOccupancyMaxActiveClusters(&clusters, cuda::sm90::router_gemm_kernel<Tile>, &config));
  std::printf("tile %-9s: %d clusters of %d at once, %d bytes of shared memory\n", name, clusters, cuda::sm90::router_ranks,
              Tile::shared_bytes);
  b.out.write(json().add("item", "router clusters").add("tile", name).add("clusters", clusters));
}

/// Microseconds a launch in a graph of one launch for each copy of the weights: no launch finds its weights in L2.
template <class F>
double in_graph(bench& b, F const& f) {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  ok(cudaStreamBeginCapture(b.s, cudaStreamCaptureModeThreadLocal));
  for (int copy = 0; copy < weight_copies; ++copy) f(copy);
  ok(cudaStreamEndCapture(b.s, &graph));
  ok(cudaGraphInstantiate(&exec, graph, 0));
  times const t = time_calls(
      b.s, [&](int) { ok(cudaGraphLaunch(exec, b.s)); }, 5, 500.0);
  ok(cudaGraphExecDestroy(exec));
  ok(cudaGraphDestroy(graph));
  return t.median / weight_copies;
}

__global__ void nothing() {}

void time_all(problem const& p, cold_cache const& cache) {
  bench& b = p.b;
  std::printf("\nmicroseconds with L2 cold, E 256 H 7168 (in brackets: in a graph, weights cold)\n%6s  %15s", "T", "nothing");
  for (char const* name : tile_names) std::printf("  %15s", name);
  std::printf("  %15s\n", "portable");
  for (std::int64_t const tokens : {1, 8, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 32768}) {
    shape const s{tokens, most_experts, most_hidden};
    matrix_view<float> const y(p.out.as<float>(), tokens, most_experts);
    std::printf("%6lld", static_cast<long long>(tokens));
    b.guarded("times of T " + std::to_string(tokens), [&] {
      auto const call = [&](int v, int copy) {
        if (v == 0)
          nothing<<<1, 32, 0, b.s>>>();
        else if (v <= chosen + 1)
          p.run(v - 1, s, 0, copy, y);
        else
          p.run_portable(s, copy, y);
        ok(cudaGetLastError());
      };
      constexpr int variants = chosen + 3;
      auto const cold = time_cold_in_turn(
          b.s, cache, variants, [&](int v) { call(v, 0); }, tokens > 4096 ? 5 : 15, 0.01);
      for (int v = 0; v < variants; ++v) {
        double const graph = tokens > 4096 && v == variants - 1 ? 0.0 : in_graph(b, [&](int copy) { call(v, copy); });
        auto const i = static_cast<std::size_t>(v);
        std::printf("  %7.2f [%5.1f]", cold[i].median, graph);
        b.out.write(json()
                        .add("item", "router")
                        .add("kernel", v == 0              ? "nothing"
                                       : v == variants - 1 ? "portable"
                                                           : tile_names[v - 1])
                        .add("tokens", tokens)
                        .add("us_in_graph", graph)
                        .add(cold[i]));
      }
    });
    std::printf("\n");
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) try {
  std::string out;
  bool check_only = false;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--check") == 0)
      check_only = true;
    else if (std::strcmp(argv[i], "--out") == 0 && i + 1 < argc)
      out = argv[++i];
    else
      throw std::runtime_error(std::string("unknown argument ") + argv[i]);
  }
  if (!has_gpu()) return 77;
  bench b(out);
  if (b.card.major != 9) {
    std::puts("no Hopper GPU");
    return 77;
  }
  std::printf("%s, %d multiprocessors\n", b.card.name, b.card.multiProcessorCount);
  b.guarded("clusters", [&] {
    print_clusters<router_tile<64, 32>>(b, tile_names[0]);
    print_clusters<router_tile<64, 64>>(b, tile_names[1]);
    print_clusters<router_tile<128, 64>>(b, tile_names[2]);
    print_clusters<router_tile<128, 128>>(b, tile_names[3]);
    print_clusters<router_tile<128, 256>>(b, tile_names[4]);
  });
  problem const p(b);
  checks c{p, b};
  for (auto const& [experts, hidden] : std::vector<std::pair<std::int64_t, std::int64_t>>{
           {256, 7168}, {32, 7168}, {160, 7168}, {256, 2048}, {160, 320}, {30, 64}, {256, 4160}})
    c.all_of(experts, hidden);
  b.guarded("portable errors", [&] {
    shape const s{4096, most_experts, most_hidden};
    p.run_portable(s, 0, {p.right.as<float>(), s.tokens, s.experts});
    c.errors(s, "portable", 2.5e-7);
  });
  std::printf("%d runs compared, %d failures, %.1f s\n", c.done, b.failures, b.seconds());
  if (!check_only) {
    cold_cache const cache(b.card.multiProcessorCount, b.s);
    time_all(p, cache);
  }
  std::printf("%d failures, %.1f s\n", b.failures, b.seconds());
  return b.failures == 0 ? 0 : 1;
} catch (std::exception const& e) {
  std::printf("FAILED  %s\n", e.what());
  return 1;
}
