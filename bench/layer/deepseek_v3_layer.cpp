// One MoE layer of DeepSeek-V3 on the CPU backend, T tokens at a time, by every engine that this processor has. The limit of a call is the
// longer of two times: its weights' bytes (pipeline/describe.hpp) at the read bandwidth, its operations at the engine's peak, both probed
// beside the call; a figure is that limit / the time taken: median, least and most. x is new in every call, and so are the experts: random,
// distinct for each token, given; the router runs and weighs them. Each expert is in memory of its own.
//   bench_layer [--threads=N] [--benchmark_filter=…] [--benchmark_out=FILE --benchmark_out_format=json]
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <random>

#include "../machine.hpp"

namespace {

using namespace moesaic;

using model = models::deepseek_v3;
constexpr moe_config config = model::config;

// Where the time of a forward call goes, by the order in which it calls its backend.
struct times {
  enum phase { front, up, down, combine, phases };
  phase now = front;
  double seconds[phases] = {};
};
constexpr char const* phase_names[] = {"front_us", "up_us", "down_us", "combine_us"};  // few tokens: the combine is in the step down

template <class Base>
struct timed : Base {
  times* log;
  timed(Base const& b, times* t) : Base(b), log(t) {}

  template <class F>
  status run(times::phase phase, F const& f) const {
    log->now = phase;
    double const start = machine::now();
    status const s = f();
    log->seconds[phase] += machine::now() - start;
    return s;
  }
  template <class F>
  status launch(std::int64_t n, F const& f) const {
    return run(log->now == times::front ? times::front : times::combine, [&] { return Base::launch(n, f); });
  }
  template <activation_format F, class... Args>
  status gather(Args const&... args) const {
    return run(times::front, [&] { return Base::template gather<F>(args...); });
  }
  template <activation_format F, class... Args>
  status up(Args const&... args) const {
    return run(times::up, [&] { return Base::template up<F>(args...); });
  }
  template <class... Args>
  status grouped_gemm(Args const&... args) const {
    return run(log->now == times::up ? times::down : log->now, [&] { return Base::grouped_gemm(args...); });
  }
  template <class... Args>
  status down_and_combine(Args const&... args) const {
    return run(times::down, [&] { return Base::down_and_combine(args...); });
  }
};

// The weights of all engines: they read the same bytes.
struct weights_home {
  static constexpr weight_format fp8 = weight_format::e4m3_128x128;
  int stored;  // experts; no token goes to the others, whose memory is never touched
  cpu::packed_matrices<fp8> gate{config.experts, config.inter, config.hidden}, up = gate, down{config.experts, config.hidden, config.inter};
  cpu::packed_matrices<fp8> shared_gate{1, config.inter, config.hidden}, shared_up = shared_gate,
                                                                         shared_down{1, config.hidden, config.inter};
  cpu::packed_matrices<weight_format::bf16> router{1, config.experts, config.hidden};
  machine::buffer codes, scales, small;
  std::vector<float> bias;

  explicit weights_home(machine::pool& threads)
      : stored(experts_that_fit()),
        codes(3 * (gate.code_bytes() + shared_gate.code_bytes())),
        scales(3 * (gate.scale_bytes() + 4096)),
        small(router.code_bytes()),
        bias(config.experts) {
    auto* code = codes.as<std::uint8_t>();
    auto* scale = scales.as<float>();
    for (auto* m : {&gate, &up, &down, &shared_gate, &shared_up, &shared_down}) {
      m->codes = code;
      m->scales = scale;
      code += m->code_bytes();
      scale += m->scale_bytes() / sizeof(float);
      std::fill_n(m->scales, m->scale_bytes() / sizeof(float), 1e-4F);
    }
    std::mt19937_64 random(1);
    // Normally distributed numbers, four standard deviations the largest that E4M3 holds, as a checkpoint's blocks are scaled; each matrix
    // starts elsewhere in them.
    std::vector<std::uint8_t> pattern(std::size_t{1} << 22);
    std::normal_distribution<float> weight(0.0F, 448.0F / 4);
    for (auto& c : pattern) c = to_e4m3(std::clamp(weight(random), -448.0F, 448.0F));
    for (auto* m : {&gate, &up, &down, &shared_gate, &shared_up, &shared_down})
      threads.parallel_for(std::min(m->experts, stored), [&](std::int64_t e) {
        std::int64_t const bytes = m->strip_codes(1, 0) - m->codes, from = e * 4099;
        for (std::int64_t at = 0; at < bytes;) {
          std::int64_t const n = std::min<std::int64_t>(bytes - at, static_cast<std::int64_t>(pattern.size()) - from);
          std::memcpy(m->strip_codes(e, 0) + at, pattern.data() + from, static_cast<std::size_t>(n));
          at += n;
        }
      });
    router.codes = small.as<bf16>();
    std::normal_distribution<float> normal;
    for (std::size_t i = 0; i < router.code_bytes() / sizeof(bf16); ++i) router.codes[i] = to_bf16(normal(random) * 0.01F);
  }

  static int experts_that_fit() {
    double const one = 3.0 * config.inter * config.hidden, room = static_cast<double>(machine::available_memory()) - 4e9;
    return std::clamp(static_cast<int>(room / one), config.top_k, config.experts);
  }

  template <class Weights>
  void fill(Weights& w) const {
    w.router = router;
    w.bias = bias.data();
    w.gate = gate;
    w.up = up;
    w.down = down;
    w.shared_gate = shared_gate;
    w.shared_up = shared_up;
    w.shared_down = shared_down;
  }
};

struct bench {
  machine::pool threads;
  weights_home home{threads};
  std::mt19937_64 random{2};
  std::size_t next_probe = 0;

  explicit bench(int count) : threads(count) {}

  // A third of a gigabyte, elsewhere each time: it also drives out of the caches what the last call left there.
  double read_bandwidth() {
    constexpr std::size_t piece = std::size_t{384} << 20;
    std::size_t const pieces = static_cast<std::size_t>(home.stored) * config.inter * config.hidden / piece;
    return machine::read_bandwidth(threads, home.codes.as() + next_probe++ % pieces * piece, piece);
  }
};

// An engine under the policy that asks for it.
template <tune::cpu_engine E, activation_format A, class Engine, int OperationsALane>
struct engine {
  struct policy_type {
    static constexpr layer_policy policy{.activations = A};
  };
  struct tuning : tune::native {
    static constexpr tune::cpu_engine engine(activation_format, weight_format) { return E; }
  };
  using layer_type = layer<model, policy_type>;
  static double peak(machine::pool& threads, double seconds) { return machine::peak<Engine, OperationsALane>(threads, seconds); }
};
constexpr auto fp8 = weight_format::e4m3_128x128;
using fp32_engine = engine<tune::cpu_engine::fp32_exact, activation_format::f32, cpu::detail::fp32_exact<fp8>, 2>;
#if defined(__AVX512FP16__) || defined(__ARM_FEATURE_FP16_VECTOR_ARITHMETIC)
using fp16_engine = engine<tune::cpu_engine::fp16_chunked, activation_format::fp16, cpu::detail::fp16_chunked<64>, 4>;
#endif
#if defined(__AVX512BF16__) && defined(__AVX512BW__)
using bf16_engine = engine<tune::cpu_engine::bf16_dot, activation_format::bf16, cpu::detail::bf16_dot<fp8>, 4>;
#endif

template <class E>
void forward(benchmark::State& state, bench& b) {
  using layer_type = typename E::layer_type;
  using base = cpu::on<machine::pool&, typename E::tuning>;
  using context = timed<base>;
  times log;
  context const ctx(base(b.threads), &log);
  prepared_weights<context, layer_type> weights;
  b.home.fill(weights);

  std::int64_t const tokens = state.range(0);
  auto const elements = static_cast<std::size_t>(tokens) * config.hidden;
  machine::buffer x(elements * sizeof(float)), y(elements * sizeof(float)), again(config.hidden * sizeof(float)),
      workspace(workspace_bytes<layer_type>(ctx, tokens));
  std::vector<std::int32_t> ids(static_cast<std::size_t>(tokens) * config.top_k);
  std::vector<float> choice_weights(ids.size());
  std::normal_distribution<float> normal;
  std::vector<float> noise(1 << 16);
  matrix_view<float> const xs(x.as<float>(), tokens, config.hidden), ys(y.as<float>(), tokens, config.hidden);
  forward_extras<float> extras;
  extras.choice = {ids.data(), choice_weights.data(), tokens, config.top_k};
  extras.given = given_choice::ids;
  std::vector<std::int32_t> all(static_cast<std::size_t>(b.home.stored));
  for (std::size_t e = 0; e < all.size(); ++e) all[e] = static_cast<std::int32_t>(e);

  std::vector<double> reads, peaks, shares, rates, bytes, phase[times::phases];
  bool first = true;
  for (auto _ : state) {
    for (float& n : noise) n = normal(b.random);
    for (std::size_t i = 0, from = 0; i < elements; ++i, from = (from + 1) % noise.size()) xs.data[i] = noise[from];
    for (std::int64_t t = 0; t < tokens; ++t)
      for (int k = 0; k < config.top_k; ++k) {
        auto const at = static_cast<std::size_t>(k);
        std::swap(all[at], all[at + b.random() % (all.size() - at)]);
        ids[static_cast<std::size_t>(t * config.top_k + k)] = all[at];
      }
    if (first) {  // touches the memory
      first = false;
      static_cast<void>(moesaic::forward<layer_type>(ctx, xs, weights, ys, workspace.memory(), extras));
    }
    // Where it is the limit, long enough for the clock to settle at what it then keeps up.
    peaks.push_back(E::peak(b.threads, tokens < 128 ? 0.1 : 1.0));
    reads.push_back(b.read_bandwidth());
    log = {};
    double const start = machine::now();
    status const s = moesaic::forward<layer_type>(ctx, xs, weights, ys, workspace.memory(), extras);
    double const took = machine::now() - start;
    if (!s) {
      state.SkipWithError(moesaic::describe(s).c_str());
      return;
    }
    state.SetIterationTime(took);
    for (int p = 0; p < times::phases; ++p) phase[p].push_back(log.seconds[p] * 1e6);
    std::vector<std::int32_t> distinct = ids;
    std::sort(distinct.begin(), distinct.end());
    auto const active = std::unique(distinct.begin(), distinct.end()) - distinct.begin();
    stage_cost const cost = moesaic::describe<layer_type>(ctx, {.tokens = tokens, .active_experts = static_cast<double>(active)}).total();
    shares.push_back(std::max(cost.weight_bytes / reads.back(), cost.operations / peaks.back()) / took);
    rates.push_back(cost.operations / took / 1e9);
    bytes.push_back(cost.weight_bytes / took / 1e9);
  }
  // The result is checked in the same binary: each token alone must have the same bits.
  for (std::int64_t t = 0; t < std::min<std::int64_t>(tokens, 3); ++t) {
    matrix_view<float> const one(xs.row(t), 1, config.hidden), out(again.as<float>(), 1, config.hidden);
    forward_extras<float> own;
    own.choice = {ids.data() + t * config.top_k, choice_weights.data(), 1, config.top_k};
    own.given = given_choice::ids;
    if (!moesaic::forward<layer_type>(ctx, one, weights, out, workspace.memory(), own) ||
        !std::equal(out.row(0), out.row(0) + config.hidden, ys.row(t)) || !std::isfinite(out(0, 0)))
      state.SkipWithError("a token alone gave other bits than in its batch");
  }
  auto& counters = state.counters;
  counters["share_of_limit"] = machine::median(shares);
  counters["least"] = *std::min_element(shares.begin(), shares.end());
  counters["most"] = *std::max_element(shares.begin(), shares.end());
  counters["weights_GB/s"] = machine::median(bytes);
  counters["read_GB/s"] = machine::median(reads) / 1e9;
  counters["GFLOP/s"] = machine::median(rates);
  counters["peak_GFLOP/s"] = machine::median(peaks) / 1e9;
  for (int p = 0; p < times::phases; ++p) counters[phase_names[p]] = machine::median(phase[p]);
}

constexpr std::int64_t token_counts[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 2048};

template <class E>
void add(char const* name, bench& b, std::vector<std::pair<char const*, double>>& peaks) {
  peaks.emplace_back(name, E::peak(b.threads, 1.0));
  for (std::int64_t const t : token_counts) {
    auto* const r = benchmark::RegisterBenchmark(name, [&b](benchmark::State& s) { forward<E>(s, b); });
    r->UseManualTime()->Unit(benchmark::kMillisecond)->ArgName("T")->Arg(t)->Iterations(t > 512 ? 3 : t > 64 ? 7 : 11);
  }
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  int const threads = machine::threads_of(argc, argv);
  bench b(threads);
  double const read = b.read_bandwidth(), copy = [&] {
    machine::buffer m(std::size_t{768} << 20);
    std::memset(m.as(), 1, m.bytes());
    return machine::copy_bandwidth(b.threads, m.as(), m.bytes());
  }();
  std::vector<std::pair<char const*, double>> peaks;
  add<fp32_engine>("fp32_exact", b, peaks);
#if defined(__AVX512FP16__) || defined(__ARM_FEATURE_FP16_VECTOR_ARITHMETIC)
  add<fp16_engine>("fp16_chunked", b, peaks);
#endif
#if defined(__AVX512BF16__) && defined(__AVX512BW__)
  add<bf16_engine>("bf16_dot", b, peaks);
#endif
  std::printf("machine      %s; %d threads, core to core %.0f ns\n", machine::processor().c_str(), threads, machine::core_to_core_ns());
  std::printf("compiled by  %s, %d fp32 lanes\n", __VERSION__, cpu::detail::lanes);
  std::printf("memory       read %.1f GB/s, copy %.1f GB/s (read + written)\n", read / 1e9, copy / 1e9);
  for (auto const& [name, rate] : peaks) std::printf("%-12s %.0f GFLOP/s in registers\n", name, rate / 1e9);
  std::printf("model        DeepSeek-V3 layer, hidden %d, inter %d, top %d of %d experts and a shared one, E4M3 128x128\n", config.hidden,
              config.inter, config.top_k, config.experts);
  if (b.home.stored < config.experts)
    std::printf("memory is short: tokens go to the first %d experts only, so that less weight is read from T = 32 on\n", b.home.stored);
  std::printf("\nlimits, ms   %8s %12s", "T", "reading");
  for (auto const& [name, rate] : peaks) std::printf(" %12s", name);
  std::printf("\n");
  for (std::int64_t const t : token_counts) {
    double const missed = std::pow(1.0 - static_cast<double>(config.top_k) / b.home.stored, static_cast<double>(t));
    stage_cost const cost =
        moesaic::describe(config, layer_policy{}, {.tokens = t, .active_experts = b.home.stored * (1.0 - missed)}).total();
    std::printf("             %8lld %12.1f", static_cast<long long>(t), cost.weight_bytes / read * 1e3);
    for (auto const& [name, rate] : peaks) std::printf(" %12.1f", cost.operations / rate * 1e3);
    std::printf("\n");
  }
  std::printf("\n");
  std::fflush(stdout);
  benchmark::RunSpecifiedBenchmarks();
}
