// One MoE layer of DeepSeek-V3 on the Kokkos host backend, T tokens at a time: bytes as described (pipeline/describe.hpp) by time, as a
// share of the read bandwidth that this process measures beside each call: median, least and most of 7 calls. Experts hold equal bytes at
// distinct addresses; x is new in every iteration, so routing is too. Beside it the operations, as a share of fp32's peak, probed likewise.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <moesaic/kokkos.hpp>
#include <moesaic/pipeline/describe.hpp>
#include <random>
#include <vector>

namespace {

constexpr int experts = 64;  // a quarter of the model's, so that weights (2.8 GB) and tests share a small machine

struct model {
  static constexpr moesaic::moe_config config = [] {
    moesaic::moe_config c = moesaic::models::deepseek_v3::config;
    c.experts = experts;
    return c;
  }();
};
using layer = moesaic::layer<model>;
constexpr moesaic::moe_config config = layer::config;

struct free_memory {
  void operator()(void* p) const { std::free(p); }
};
template <class T>
struct buffer {
  std::size_t count;
  std::unique_ptr<T[], free_memory> data;
  explicit buffer(std::size_t n) : count(n), data(static_cast<T*>(std::aligned_alloc(64, (n * sizeof(T) + 63) / 64 * 64))) {}
  T* get() const { return data.get(); }
  moesaic::memory memory() const { return {data.get(), count * sizeof(T)}; }
};

using context = moesaic::kokkos::on<Kokkos::DefaultHostExecutionSpace>;

struct prepared_layer {
  context ctx{Kokkos::DefaultHostExecutionSpace{}};
  buffer<std::byte> home{moesaic::prepared_bytes<layer>(ctx)};
  moesaic::prepared_weights<context, layer> weights;
  std::mt19937_64 random{1};

  prepared_layer() {
    std::size_t const codes = std::size_t{config.inter} * config.hidden;
    buffer<std::uint8_t> code(codes);
    buffer<float> scale(codes / (128 * 128));
    buffer<moesaic::bf16> router(std::size_t{experts} * config.hidden);
    std::vector<float> bias(experts);
    for (std::size_t i = 0; i < codes; ++i) {
      auto const c = static_cast<std::uint8_t>(random());
      code.get()[i] = (c & 0x7f) == 0x7f ? std::uint8_t{0x38} : c;
    }
    std::fill_n(scale.get(), scale.count, 1e-4F);
    std::normal_distribution<float> normal;
    for (std::size_t i = 0; i < router.count; ++i) router.get()[i] = moesaic::to_bf16(normal(random) * 0.01F);

    moesaic::layer_weights<layer> w;
    w.router = {1, experts, config.hidden, {router.get()}, {}};
    w.bias = bias.data();
    w.gate = w.up = {experts, config.inter, config.hidden, {code.get()}, {scale.get()}};
    w.down = {experts, config.hidden, config.inter, {code.get()}, {scale.get()}};
    w.shared_gate = w.shared_up = {1, config.inter, config.hidden, {code.get()}, {scale.get()}};
    w.shared_down = {1, config.hidden, config.inter, {code.get()}, {scale.get()}};
    if (auto const s = moesaic::prepare<layer>(ctx, w, home.memory(), weights); !s) {
      std::fprintf(stderr, "%s\n", moesaic::describe(s).c_str());
      std::exit(1);
    }
  }
};

/// Bytes per second of all threads reading the prepared weights once.
double read_bandwidth(prepared_layer const& l) {
  auto const* const words = reinterpret_cast<std::uint64_t const*>(l.home.get());
  auto const count = static_cast<std::int64_t>(l.home.count / 8);
  auto const start = std::chrono::steady_clock::now();
  std::uint64_t sum = 0;
  Kokkos::parallel_reduce(
      "probe", Kokkos::RangePolicy<Kokkos::DefaultHostExecutionSpace, Kokkos::IndexType<std::int64_t>>(0, count / 1024),
      [=](std::int64_t chunk, std::uint64_t& total) {
        std::uint64_t s = 0;
        for (int i = 0; i < 1024; ++i) s += words[chunk * 1024 + i];
        total += s;
      },
      sum);
  benchmark::DoNotOptimize(sum);
  std::chrono::duration<double> const seconds = std::chrono::steady_clock::now() - start;
  return static_cast<double>(l.home.count) / seconds.count();
}

/// Multiply-adds that all threads reach in registers, in operations per second.
double fp32_peak() {
  constexpr int sums = 12;  // enough to hide the latency of two units
  constexpr std::int64_t rounds = 4'000'000;
  using vec = float __attribute__((vector_size(64)));
  int const threads = Kokkos::DefaultHostExecutionSpace().concurrency();
  auto const start = std::chrono::steady_clock::now();
  float total = 0.0F;
  Kokkos::parallel_reduce(
      "peak", Kokkos::RangePolicy<Kokkos::DefaultHostExecutionSpace>(0, threads),
      [=](int t, float& out) {
        vec sum[sums];
        vec const factor = vec{} + 0.999F, step = vec{} + static_cast<float>(t + 1);
        for (vec& s : sum) s = step;
        for (std::int64_t i = 0; i < rounds; ++i)
          for (vec& s : sum) s = s * factor + step;
        for (vec const& s : sum) out += s[0];
      },
      total);
  benchmark::DoNotOptimize(total);
  std::chrono::duration<double> const seconds = std::chrono::steady_clock::now() - start;
  return 2.0 * 16 * sums * static_cast<double>(rounds) * threads / seconds.count();
}

double median(std::vector<double> v) {
  auto const middle = v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2);
  std::nth_element(v.begin(), middle, v.end());
  return *middle;
}

void forward(benchmark::State& state) {
  static prepared_layer l;
  auto const tokens = state.range(0);
  auto const elements = static_cast<std::size_t>(tokens) * config.hidden;
  buffer<float> x(elements), y(elements), again(elements);
  buffer<std::byte> workspace(moesaic::workspace_bytes<layer>(l.ctx, tokens));
  std::vector<std::int32_t> ids(static_cast<std::size_t>(tokens) * config.top_k);
  std::vector<float> weights(ids.size());
  std::normal_distribution<float> normal;
  moesaic::matrix_view<float> const xs(x.get(), tokens, config.hidden), ys(y.get(), tokens, config.hidden);
  moesaic::forward_extras<float> extras;
  extras.choice = {ids.data(), weights.data(), tokens, config.top_k};

  std::vector<double> probes, peaks, shares, rates, of_peak;
  for (auto _ : state) {
    for (std::size_t i = 0; i < elements; ++i) x.get()[i] = normal(l.random);
    probes.push_back(read_bandwidth(l));
    peaks.push_back(fp32_peak());
    auto const start = std::chrono::steady_clock::now();
    auto const s = moesaic::forward<layer>(l.ctx, xs, l.weights, ys, workspace.memory(), extras);
    std::chrono::duration<double> const took = std::chrono::steady_clock::now() - start;
    if (!s) {
      state.SkipWithError(moesaic::describe(s).c_str());
      return;
    }
    state.SetIterationTime(took.count());
    std::sort(ids.begin(), ids.end());
    auto const distinct = std::unique(ids.begin(), ids.end()) - ids.begin();
    moesaic::stage_cost const described =
        moesaic::describe<layer>(l.ctx, {.tokens = tokens, .active_experts = static_cast<double>(distinct)}).total();
    shares.push_back(described.weight_bytes / took.count() / probes.back());
    rates.push_back(described.operations / took.count() / 1e9);
    of_peak.push_back(described.operations / took.count() / peaks.back());
  }
  // The result is checked in the same binary: each token alone must have the same bits.
  for (std::int64_t t = 0; t < std::min<std::int64_t>(tokens, 4); ++t) {
    moesaic::matrix_view<float> const one(xs.row(t), 1, config.hidden), out(again.get(), 1, config.hidden);
    if (!moesaic::forward<layer>(l.ctx, one, l.weights, out, workspace.memory()) ||
        !std::equal(out.row(0), out.row(0) + config.hidden, ys.row(t)) || !std::isfinite(out(0, 0)))
      state.SkipWithError("a token alone gave other bits than in its batch");
  }
  state.counters["read_GB/s"] = median(probes) / 1e9;
  state.counters["share_of_read"] = median(shares);
  state.counters["least"] = *std::min_element(shares.begin(), shares.end());
  state.counters["most"] = *std::max_element(shares.begin(), shares.end());
  state.counters["GFLOP/s"] = median(rates);
  state.counters["fp32_peak"] = median(peaks) / 1e9;
  state.counters["share_of_peak"] = median(of_peak);
}
BENCHMARK(forward)->Arg(1)->Arg(8)->Arg(64)->Arg(256)->UseManualTime()->Iterations(7)->Unit(benchmark::kMillisecond);

}  // namespace

int main(int argc, char** argv) {
  Kokkos::ScopeGuard const guard(Kokkos::InitializationSettings().set_disable_warnings(true));
  benchmark::Initialize(&argc, argv);
  std::printf("DeepSeek-V3 layer with %d of its 256 experts, %d threads\n", experts, Kokkos::DefaultHostExecutionSpace().concurrency());
  benchmark::RunSpecifiedBenchmarks();
}
