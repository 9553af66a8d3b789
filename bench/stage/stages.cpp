// The stages of a DeepSeek-V3 layer that are no expert GEMM, on the CPU backend: microseconds, and the bytes that a stage has to read and
// write by the time it takes, as a share of what plain copying by the same threads gives beside it. x and y are bf16.
//   bench_stages [--threads=N] [--benchmark_filter=…]
#include <benchmark/benchmark.h>

#include <cstring>
#include <memory>
#include <random>

#include "../machine.hpp"

namespace {

using namespace moesaic;

using layer_type = layer<models::deepseek_v3>;
constexpr moe_config config = layer_type::config;
constexpr std::int64_t hidden = config.hidden, experts = config.experts, top_k = config.top_k, blocks = hidden / 128;

/// What all stages of T tokens read and write.
struct work {
  machine::pool& threads;
  cpu::on<machine::pool&> ctx{threads};
  std::int64_t tokens, slots;
  cpu::packed_matrices<weight_format::bf16> router{1, experts, hidden};
  machine::buffer x_home, wide_home, logits_home, rows_home, partials_home, y_home, codes_home, router_home, gathered_home;
  std::vector<std::int32_t> ids, offsets, row_to_slot, slot_to_row;
  std::vector<float> weights, bias, scales;
  matrix_view<bf16> x, y, rows;
  matrix_view<float> wide, logits, partials;
  topk_choice choice;
  dispatch_map map;
  quantized_rows<float> quantized;
  decltype(ctx)::rows<policies::fp8_weights> gathered;

  work(machine::pool& p, std::int64_t t)
      : threads(p),
        tokens(t),
        slots(t * top_k),
        x_home(bytes(t * hidden, 2)),
        wide_home(bytes(t * hidden, 4)),
        logits_home(bytes(t * experts, 4)),
        rows_home(bytes(slots * hidden, 2)),
        partials_home(bytes(slots * hidden, 4)),
        y_home(bytes(t * hidden, 2)),
        codes_home(bytes(t * hidden, 1)),
        router_home(router.code_bytes()),
        gathered_home(bytes(slots * hidden, 4)),
        ids(static_cast<std::size_t>(slots)),
        offsets(experts + 1),
        row_to_slot(ids.size()),
        slot_to_row(ids.size()),
        weights(ids.size()),
        bias(experts),
        scales(static_cast<std::size_t>(align_up(t, 4) * blocks)),
        x(x_home.as<bf16>(), t, hidden),
        y(y_home.as<bf16>(), t, hidden),
        rows(rows_home.as<bf16>(), slots, hidden),
        wide(wide_home.as<float>(), t, hidden),
        logits(logits_home.as<float>(), t, experts),
        partials(partials_home.as<float>(), slots, hidden),
        choice{ids.data(), weights.data(), t, config.top_k},
        map{offsets.data(), row_to_slot.data(), slot_to_row.data(), t, config.top_k, config.experts},
        quantized(codes_home.as<std::uint8_t>(), scales.data(), t, hidden),
        gathered{gathered_home.as<float>(), nullptr, slots, hidden} {
    std::mt19937_64 random(1);
    std::normal_distribution<float> normal;
    for (std::int64_t i = 0; i < t * hidden; ++i) x.data[i] = to_bf16(wide.data[i] = normal(random));
    for (std::int64_t i = 0; i < t * experts; ++i) logits.data[i] = normal(random);
    router.codes = router_home.as<bf16>();
    for (std::int64_t i = 0; i < experts * hidden; ++i) router.codes[i] = to_bf16(normal(random) * 0.01F);
    std::memset(partials_home.as(), 0, partials_home.bytes());
    need(select());
    need(dispatch());
  }
  static std::size_t bytes(std::int64_t count, int each) { return static_cast<std::size_t>(count * each); }
  static void need(status const& s) {
    if (s) return;
    std::fprintf(stderr, "%s\n", moesaic::describe(s).c_str());
    std::exit(1);
  }

  status select() { return route_from_logits<layer_type>(ctx, logits, bias.data(), choice); }
  status dispatch() { return make_dispatch_map(ctx, choice, map); }
};

struct stage {
  char const* name;
  double (*bytes)(double t);  // that have to be read and written for t tokens
  status (*run)(work&);
};
constexpr double h = hidden, k = top_k, e = experts;
constexpr stage stages[] = {
    {"router", [](double t) { return e * h * 2 + t * (h + e) * 4; },
     [](work& w) { return grouped_gemm(w.ctx, gemm_input{f32_rows(w.wide)}, w.router, nullptr, w.logits); }},
    {"select", [](double t) { return t * (e * 4 + k * 8); }, [](work& w) { return w.select(); }},
    {"map", [](double t) { return t * k * 12 + e * 4; }, [](work& w) { return w.dispatch(); }},
    {"permute", [](double t) { return t * h * 2 + t * k * h * 2; }, [](work& w) { return permute(w.ctx, w.x, w.map, w.rows); }},
    {"gather", [](double t) { return t * h * 2 + t * k * h * 4; },
     [](work& w) {
       return w.ctx.gather<activation_format::f32>(matrix_view<bf16 const>(w.x), w.map, w.gathered);
     }},
    {"quantize", [](double t) { return t * h * 3 + t * h / 32; }, [](work& w) { return quantize(w.ctx, w.x, w.quantized); }},
    {"combine", [](double t) { return t * k * h * 4 + t * h * 2; },
     [](work& w) { return unpermute(w.ctx, w.partials, w.map, w.choice, w.y); }},
};

void run(benchmark::State& state, machine::pool& threads, stage const& s, machine::buffer& scratch) {
  std::int64_t const tokens = state.range(0);
  work w(threads, tokens);
  work::need(s.run(w));
  std::vector<double> copies, shares;
  for (auto _ : state) {
    copies.push_back(machine::copy_bandwidth(threads, scratch.as(), scratch.bytes()));
    double const start = machine::now();
    work::need(s.run(w));
    double const took = machine::now() - start;
    state.SetIterationTime(took);
    shares.push_back(s.bytes(static_cast<double>(tokens)) / took / copies.back());
  }
  state.counters["copy_GB/s"] = machine::median(copies) / 1e9;
  state.counters["share_of_copy"] = machine::median(shares);
  state.counters["least"] = *std::min_element(shares.begin(), shares.end());
  state.counters["most"] = *std::max_element(shares.begin(), shares.end());
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  machine::pool threads(machine::threads_of(argc, argv));
  machine::buffer scratch(std::size_t{256} << 20);
  std::memset(scratch.as(), 1, scratch.bytes());
  for (stage const& s : stages) {
    auto* const r = benchmark::RegisterBenchmark(s.name, [&](benchmark::State& state) { run(state, threads, s, scratch); });
    r->UseManualTime()->Unit(benchmark::kMicrosecond)->ArgName("T")->Arg(1)->Arg(64)->Arg(4096)->Iterations(15);
  }
  benchmark::RunSpecifiedBenchmarks();
}
