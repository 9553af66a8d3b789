// A whole DeepSeek-V3 layer on Hopper, forward() with E4M3 rows and weights, bf16 x and y: router, selection, map, quantise, experts,
// shared expert, combine; and the same with tune::sm90a::gathers. Random data and weights, new tokens in every call, cold L2. About a
// minute. Exit status 1 if a result is wrong, 77 without a GPU.
//   bench_gpu_layer [--predict] [--out FILE] [--cublaslt PATH] [--read GB/s] [--tflops N] [--tokens 64,4096]
// FILE gets one JSON object a line. The limit of a call is pipeline/describe.hpp's roofline at --read and --tflops; left out, they are what
// this run measures: a kernel that only reads, and the fastest of cuBLASLt's products of as many rows (without cuBLASLt 1339, an H200's).
// --predict prints that roofline, stage by stage, and needs no GPU: at 4602 GB/s and 1404 TFLOP/s, an H200's, unless told otherwise.
#include <cstdlib>
#include <optional>
#include <sstream>

#include "bench.hpp"
#include "layer_peers.hpp"
#include "layer_run.hpp"

namespace {

using namespace gpu;

struct options {
  bool predict = false;
  std::string out, cublaslt_path;
  double read = 0.0, tflops = 0.0;  // 0: measured
  std::vector<std::int64_t> tokens{1, 8, 64, 128, 256, 512, 1024, 4096, 8192, 32768};

  options(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
      std::string const key = argv[i];
      if (key == "--predict") {
        predict = true;
        continue;
      }
      if (i + 1 == argc) throw std::runtime_error(key + " is unknown or needs a value");
      std::string const value = argv[++i];
      if (key == "--out")
        out = value;
      else if (key == "--cublaslt")
        cublaslt_path = value;
      else if (key == "--read")
        read = std::atof(value.c_str());
      else if (key == "--tflops")
        tflops = std::atof(value.c_str());
      else if (key == "--tokens")
        tokens = list(value);
      else
        throw std::runtime_error("unknown argument " + key);
    }
  }
  static std::vector<std::int64_t> list(std::string const& text) {
    std::vector<std::int64_t> all;
    std::istringstream in(text);
    for (std::string part; std::getline(in, part, ',');) {
      all.push_back(std::atoll(part.c_str()));
      if (all.back() < 1 || all.back() > layer_memory::y_tokens) throw std::runtime_error("cannot use --tokens " + text);
    }
    if (all.empty()) throw std::runtime_error("--tokens needs numbers");
    return all;
  }
};

struct limits {
  double read, tflops;
  std::vector<dense_layer> dense;

  dense_layer const* of(std::int64_t tokens) const {
    for (dense_layer const& d : dense)
      if (d.tokens == tokens) return &d;
    return nullptr;
  }
};

limits measure_limits(options const& o, bench& b, layer_memory const& m, cold_cache const& cache) {
  limits l{o.read, o.tflops, {}};
  if (l.read == 0.0) l.read = read_rate(m.codes(), layer_memory::config.experts * layer_memory::matrix, b.card.multiProcessorCount, b.s);
  if (!o.cublaslt_path.empty()) try {
      std::vector<std::int64_t> many;
      for (std::int64_t const t : o.tokens)
        if (t >= 1024) many.push_back(t);
      if (!many.empty()) l.dense = dense_layers(o.cublaslt_path, layer_memory::config, many, cache, b.s);
    } catch (std::exception const& e) {
      std::printf("without cuBLASLt: %s\n", e.what());
    }
  bool const given = l.tflops != 0.0;
  for (dense_layer const& d : l.dense) {
    b.out.write(json()
                    .add("item", "layer_dense")
                    .add("tokens", d.tokens)
                    .add("us", d.us())
                    .add("up_us", d.up.us)
                    .add("up_kind", d.up.kind)
                    .add("down_us", d.down.us)
                    .add("down_kind", d.down.kind)
                    .add("tflops", d.tflops()));
    if (!given && std::isfinite(d.us())) l.tflops = std::max(l.tflops, d.tflops());
  }
  if (l.tflops == 0.0) l.tflops = 1339.0;
  std::printf("limits: %.0f GB/s read%s, %.0f TFLOP/s%s\n", l.read, o.read == 0.0 ? " (measured)" : " (given)", l.tflops,
              given             ? " (given)"
              : l.dense.empty() ? " (assumed)"
                                : " (cuBLASLt, measured)");
  return l;
}

class report {
 public:
  report(bench& b, limits const& l, std::string model, int experts) : b_(b), l_(l), model_(std::move(model)), experts_(experts) {}

  void check(reference_errors const& e) {
    // Written so that NaN is wrong. Of the parts of the error: bf16 partials and y, and codes that round the other way.
    bool const right = e.other_experts == 0 && e.weights < 1e-5 && e.rounded < 1e-2 && e.exact < 0.1;
    if (!right) ++b_.failures;
    std::printf(
        "64 tokens against float64: %d with other experts, combine weights %.1e, y %.2e (rows in E4M3 too), %.2e (rows not rounded)%s\n",
        e.other_experts, e.weights, e.rounded, e.exact, right ? "" : "  WRONG");
    b_.out.write(line("layer_check", 64)
                     .add("other_experts", e.other_experts)
                     .add("weights_error", e.weights)
                     .add("rms_error", e.rounded)
                     .add("rms_error_of_unrounded_rows", e.exact)
                     .add("correct", right));
  }
  static void head() {
    std::printf("%6s %10s %21s %8s %7s %6s %8s %5s %7s %10s %6s  %-9s %s\n", "T", "us", "least to most", "TFLOP/s", "w GB/s", "limit",
                "experts", "load", "kernels", "cuBLASLt", "share", "MHz, W", "bits");
  }
  void row(std::int64_t tokens, layer_times const& r, moesaic::layer_cost const& cost, watch& clocks) {
    double operations = 0.0, routed = 0.0;
    for (moesaic::stage_cost const& s : cost) {
      std::string const stage = s.name;
      if (stage != "router") operations += s.operations;
      if (stage == "up" || stage == "down") routed += s.operations;
    }
    double const limit_us = 1e6 * moesaic::roofline_seconds(cost, {l_.read * 1e9, l_.tflops * 1e12});
    double const tflops = operations / r.t.median * 1e-6, weights = cost.total().weight_bytes / r.t.median * 1e-3;
    dense_layer const* const dense = l_.of(tokens);
    json j = line("layer", tokens);
    j.add(r.t).add("tflops", tflops).add("routed_tflops", routed / r.t.median * 1e-6).add("weights_gb_per_s", weights);
    j.add("limit_us", limit_us).add("share_of_limit", limit_us / r.t.median).add("active_experts", r.active);
    j.add("most_to_mean_rows", r.most_to_mean).add("kernels", r.kernels).add("other_nodes", r.other_nodes);
    j.add("read_gb_per_s", l_.read).add("limit_tflops", l_.tflops);
    char peer[40] = "         -      -";
    if (dense != nullptr && std::isfinite(dense->us())) {
      std::snprintf(peer, sizeof peer, "%10.1f %6.2f", dense->us(), dense->us() / r.t.median);
      j.add("dense_us", dense->us()).add("share_of_dense", dense->us() / r.t.median);
    }
    clocks.add_to(j);
    j.add("wrong", r.wrong);
    b_.out.write(j);
    char span[40], state[24], nodes[24];
    std::snprintf(span, sizeof span, "%.1f to %.1f", r.t.min, r.t.max);
    std::snprintf(state, sizeof state, "%u, %u", clocks.sm_mhz(), clocks.watts());
    std::snprintf(nodes, sizeof nodes, r.other_nodes == 0 ? "%d" : "%d + %d", r.kernels, r.other_nodes);
    std::printf("%6lld %10.1f %21s %8.1f %7.0f %6.3f %8.1f %5.2f %7s %17s  %-9s %s\n", static_cast<long long>(tokens), r.t.median, span,
                tflops, weights, limit_us / r.t.median, r.active, r.most_to_mean, nodes, peer, state, r.wrong.empty() ? "same" : "WRONG");
    if (!r.wrong.empty()) {
      ++b_.failures;
      std::printf("       WRONG  %s\n", r.wrong.c_str());
    }
    rows_.emplace_back(tokens, r.steps);
    for (int s = 0; s < layer_steps; ++s)
      if (times const& t = r.steps[static_cast<std::size_t>(s)]; t.samples > 0)
        b_.out.write(line("layer_step", tokens).add("step", layer_step_names[s]).add(t));
    std::fflush(stdout);
  }
  void steps() const {
    auto const ran = [this](std::size_t step) {
      return std::any_of(rows_.begin(), rows_.end(), [step](auto const& row) { return row.second[step].samples > 0; });
    };
    std::printf("step, us");
    for (std::size_t s = 0; s < layer_steps; ++s)
      if (ran(s)) std::printf(" %10s", layer_step_names[s]);
    std::printf(" %10s\n", "together");
    for (auto const& [tokens, steps] : rows_) {
      double sum = 0.0;
      std::printf("%8lld", static_cast<long long>(tokens));
      for (std::size_t s = 0; s < layer_steps; ++s)
        if (ran(s)) {
          std::printf(" %10.1f", steps[s].median);
          sum += steps[s].median;
        }
      std::printf(" %10.1f\n", sum);
    }
  }

 private:
  json line(char const* item, std::int64_t tokens) const {
    return json().add("item", item).add("model", model_).add("experts", experts_).add("tokens", tokens);
  }

  bench& b_;
  limits const& l_;
  std::string model_;
  int experts_;
  std::vector<std::pair<std::int64_t, std::array<times, layer_steps>>> rows_;
};

template <class Model>
void run(options const& o, bench& b, layer_memory const& m, limits const& l, cold_cache const& cache, std::string const& name) {
  std::int64_t const most = *std::max_element(o.tokens.begin(), o.tokens.end());
  layer_run<Model, moesaic::tune::sm90a> const layer(m, b.s, most);
  layer_run<Model, gathering> const gathered(m, b.s, most);
  std::printf("\n%s: hidden %d, inter %d, top %d of %d experts and a shared one; workspace %.2f GB, where rows are gathered %.2f GB\n",
              name.c_str(), layer.c.hidden, layer.c.inter, layer.c.top_k, layer.c.experts,
              static_cast<double>(layer.workspace_bytes()) * 1e-9, static_cast<double>(gathered.workspace_bytes()) * 1e-9);
  std::string const gathered_name = name + ", gathered";
  report r(b, l, name, layer.c.experts), of_gathered(b, l, gathered_name, layer.c.experts);
  r.check(layer.check());
  of_gathered.check(gathered.check());
  r.head();
  for (std::int64_t const t : o.tokens) {
    b.guarded(name + ", T = " + std::to_string(t), [&] {
      watch clocks(b.clocks);
      auto const [in_order, by_map] = measure_in_turn(layer, gathered, t, cache, b.s, 11);
      r.row(t, in_order, layer.describe(t, in_order.active), clocks);
      of_gathered.row(t, by_map, gathered.describe(t, by_map.active), clocks);
    });
    if (cudaDeviceSynchronize() != cudaSuccess) throw std::runtime_error("the device is lost");
  }
  r.steps();
  of_gathered.steps();
}

/// describe() of forward, without a GPU.
template <class Model, class Arch>
void predict(options const& o, char const* name) {
  moesaic::machine_rates const machine{(o.read != 0.0 ? o.read : 4602.0) * 1e9, (o.tflops != 0.0 ? o.tflops : 1404.0) * 1e12};
  std::printf("\n%s: microseconds at %.0f GB/s and %.0f TFLOP/s\n%6s %8s", name, machine.bytes_per_second * 1e-9,
              machine.operations_per_second * 1e-12, "T", "launches");
  bool first = true;
  for (std::int64_t const t : o.tokens) {
    moesaic::layer_cost const cost = layer_run<Model, Arch>::describe(t, moesaic::expected_active_experts(Model::config, t));
    if (std::exchange(first, false)) {
      for (moesaic::stage_cost const& s : cost) std::printf(" %9s", s.name);
      std::printf(" %9s %8s\n", "together", "TFLOP/s");
    }
    double const together = moesaic::roofline_seconds(cost, machine);
    double operations = 0.0;
    std::printf("%6lld %8d", static_cast<long long>(t), cost.total().launches);
    for (moesaic::stage_cost const& s : cost) {
      std::printf(" %9.1f", 1e6 * moesaic::roofline_seconds(s, machine));
      if (std::string(s.name) != "router") operations += s.operations;
    }
    std::printf(" %9.1f %8.0f\n", 1e6 * together, operations / together * 1e-12);
  }
}

}  // namespace

int main(int argc, char** argv) try {
  options const o(argc, argv);
  if (o.predict) {
    predict<moesaic::models::deepseek_v3, moesaic::tune::sm90a>(o, "deepseek_v3");
    predict<moesaic::models::deepseek_v3, gathering>(o, "deepseek_v3, gathered");
    predict<deepseek_v3_slice, moesaic::tune::sm90a>(o, "deepseek_v3_slice");
    return 0;
  }
  if (!has_gpu()) return 77;
  bench b(o.out);
  std::printf("%s, %d multiprocessors\n", b.card.name, b.card.multiProcessorCount);
  layer_memory const m;
  cold_cache const cache(b.card.multiProcessorCount, b.s);
  limits const l = measure_limits(o, b, m, cache);
  std::printf(
      "Medians of 11 replays of a graph, cold L2; of each T in turn with rows of x in order, and below it gathered by the step up.\n"
      "TFLOP/s: routed and shared experts. w GB/s: weights of the experts that have rows.\n"
      "limit: share of describe()'s roofline. load: rows of the fullest expert by the mean. cuBLASLt: its time for the expert GEMMs "
      "alone,\n"
      "one dense product of as many rows each, and its share of our whole layer. bits: graph = direct call = tokens in calls of 64.\n"
      "Steps: a direct call with an event after each; GEMMs then do not overlap with what is ahead of them.\n");
  b.guarded("deepseek_v3", [&] { run<moesaic::models::deepseek_v3>(o, b, m, l, cache, "deepseek_v3"); });
  b.guarded("deepseek_v3_slice", [&] { run<deepseek_v3_slice>(o, b, m, l, cache, "deepseek_v3_slice"); });
  std::printf("\n%.1f s; SM %u MHz, %u W, %u C; %d failed or wrong\n", b.seconds(), b.clocks.sm_mhz(), b.clocks.watts(), b.clocks.celsius(),
              b.failures);
  return b.failures == 0 ? 0 : 1;
} catch (std::exception const& e) {
  std::printf("FAILED  %s\n", e.what());
  return 1;
}
