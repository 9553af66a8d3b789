// One layer under test: its forward call, checked, timed as a graph, and timed step by step.
#pragma once

#include <array>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include <moesaic/cuda.hpp>

#include "cold.hpp"
#include "layer_graph.hpp"
#include "layer_memory.hpp"
#include "layer_reference.hpp"
#include "layer_steps.hpp"

namespace gpu {

/// *count += how many of the elements differ in their bits.
__global__ void count_differing(std::uint16_t const* a, std::uint16_t const* b, std::int64_t elements, unsigned long long* count) {
  unsigned long long mine = 0;
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < elements; i += std::int64_t{gridDim.x} * blockDim.x)
    mine += a[i] != b[i] ? 1 : 0;
  if (mine != 0) atomicAdd(count, mine);
}

struct reference_errors {
  int other_experts;               // tokens whose experts are not those of float64 logits
  double weights, rounded, exact;  // the largest of a combine weight, relative; RMS of y with rows rounded to E4M3 as ours, and with none
};
struct layer_times {
  times t;
  std::array<times, layer_steps> steps;
  double active;        // experts with rows
  double most_to_mean;  // rows of the expert that has most
  int kernels, other_nodes;
  std::string wrong;  // empty: nothing
};

/// Hopper's kernels with the rows of x gathered by the step up.
struct gathering : moesaic::tune::sm90a {
  static constexpr bool gathers = true;
};

template <class Model, class Arch>
class layer_run {
 public:
  using layer_type = moesaic::layer<Model, moesaic::policies::fp8_w8a8>;
  using context = moesaic::cuda::on<Arch>;
  using stepwise = gpu::stepwise<Arch>;
  static constexpr moesaic::moe_config c = layer_type::config;
  static constexpr std::int64_t few = 64;

  layer_run(layer_memory const& m, cudaStream_t s, std::int64_t most_tokens)
      : m_(m),
        s_(s),
        ctx_(s),
        stepwise_(s),
        workspace_(moesaic::workspace_bytes<layer_type>(ctx_, std::max(most_tokens, few))),
        home_(moesaic::prepared_bytes<layer_type>(ctx_)),
        stepwise_home_(home_.bytes()) {
    need(moesaic::prepare<layer_type>(ctx_, m.weights<layer_type>(), {home_.as<std::byte>(), home_.bytes()}, weights_), "prepare");
    need(moesaic::prepare<layer_type>(stepwise_, m.weights<layer_type>(), {stepwise_home_.as<std::byte>(), home_.bytes()},
                                      stepwise_weights_),
         "prepare");
    ok(cudaStreamSynchronize(s_));
    poison(alone(), few);
    call(ctx_, weights_, m_.x(), few, alone(), 0);
    ok(cudaStreamSynchronize(s_));
  }

  std::size_t workspace_bytes() const { return workspace_.bytes(); }

  /// 64 tokens by themselves. Right after construction.
  reference_errors check() const {
    layer_reference<layer_type> const reference(m_, few, s_);
    std::vector<std::int32_t> ids(few * c.top_k);
    std::vector<float> weights(ids.size());
    std::vector<moesaic::bf16> y(few * c.hidden);
    ok(cudaMemcpy(ids.data(), m_.ids(), ids.size() * 4, cudaMemcpyDeviceToHost));
    ok(cudaMemcpy(weights.data(), m_.choice_weights(), ids.size() * 4, cudaMemcpyDeviceToHost));
    ok(cudaMemcpy(y.data(), alone(), y.size() * 2, cudaMemcpyDeviceToHost));
    reference_errors e{};
    for (std::size_t t = 0; t < few; ++t) {
      auto const first = static_cast<std::ptrdiff_t>(t * c.top_k);
      bool const same = std::equal(ids.begin() + first, ids.begin() + first + c.top_k, reference.ids.begin() + first);
      e.other_experts += same ? 0 : 1;
      for (std::size_t i = t * c.top_k; same && i < (t + 1) * c.top_k; ++i)
        e.weights = std::max(e.weights, static_cast<double>(std::abs(weights[i] - reference.weights[i]) / reference.weights[i]));
    }
    e.rounded = relative_error(y, reference.run(true));
    e.exact = relative_error(y, reference.run(false));
    return e;
  }

  /// A call for each of some sets of tokens.
  std::vector<graph> graphs(std::int64_t tokens) const {
    std::vector<graph> all;
    for (int set = 0; set < sets_of(tokens); ++set)
      all.emplace_back(s_, [&] { call(ctx_, weights_, x_of(tokens, set), tokens, m_.y(), set * tokens); });
    return all;
  }

  /// All but the time of the graphs.
  layer_times measure_steps(std::int64_t tokens, graph const& first, cold_cache const& cache, int rounds) const {
    layer_times r{};
    int const sets = sets_of(tokens);
    r.kernels = first.kernels();
    r.other_nodes = first.others();
    r.wrong = check_bits(tokens, first);
    step_log log;
    stepwise ctx(s_, &log);
    for (int i = -1; i < rounds; ++i) {
      for (int flush = 0; flush < 6; ++flush) cache.flush(s_);  // meanwhile the host enqueues all steps: none waits for it
      if (i < 0) {
        call(stepwise_, stepwise_weights_, x_of(tokens, 0), tokens, m_.y(), 0);
        continue;
      }
      log.begin(s_);
      call(ctx, stepwise_weights_, x_of(tokens, i % sets), tokens, m_.y(), i % sets * tokens);
    }
    ok(cudaStreamSynchronize(s_));
    auto all = log.times();
    for (std::size_t step = 0; step < all.size(); ++step) {
      auto& us = all[step];
      if (us.empty()) continue;
      std::sort(us.begin(), us.end());
      r.steps[step] = {us[us.size() / 2], us.front(), us.back(), static_cast<int>(us.size()), 1};
    }
    std::vector<std::int32_t> ids(static_cast<std::size_t>(sets * tokens) * c.top_k);
    ok(cudaMemcpy(ids.data(), m_.ids(), ids.size() * 4, cudaMemcpyDeviceToHost));
    for (std::size_t set = 0, each = ids.size() / static_cast<std::size_t>(sets); set < static_cast<std::size_t>(sets); ++set) {
      std::vector<std::int64_t> rows(c.experts);
      for (std::size_t i = set * each; i < (set + 1) * each; ++i) rows.at(static_cast<std::size_t>(ids[i])) += 1;
      r.active += static_cast<double>(std::count_if(rows.begin(), rows.end(), [](auto n) { return n > 0; })) / sets;
      r.most_to_mean += static_cast<double>(*std::max_element(rows.begin(), rows.end())) * c.experts / static_cast<double>(each) / sets;
    }
    return r;
  }

  static moesaic::layer_cost describe(std::int64_t tokens, double active) {
    return moesaic::describe<layer_type, context>({.tokens = tokens, .active_experts = active, .x_bytes = 2, .y_bytes = 2});
  }

 private:
  static int sets_of(std::int64_t tokens) { return static_cast<int>(std::clamp<std::int64_t>(layer_memory::x_tokens / tokens, 1, 4)); }
  static void need(moesaic::status const& s, char const* what) {
    if (!s) throw std::runtime_error(std::string(what) + ": " + moesaic::describe(s).c_str());
  }
  moesaic::bf16* alone() const { return alone_.template as<moesaic::bf16>(); }
  moesaic::bf16 const* x_of(std::int64_t tokens, int set) const { return m_.x() + set * tokens * c.hidden; }
  void poison(moesaic::bf16* y, std::int64_t tokens) const {  // with NaN
    ok(cudaMemsetAsync(y, 0xFF, static_cast<std::size_t>(tokens) * c.hidden * 2, s_));
  }

  /// The choice goes to the slots from `first_token` on, for whoever counts.
  template <class Context>
  void call(Context const& ctx, moesaic::prepared_weights<Context, layer_type> const& w, moesaic::bf16 const* x, std::int64_t tokens,
            moesaic::bf16* y, std::int64_t first_token) const {
    moesaic::forward_extras<moesaic::bf16> extras;
    extras.choice = {m_.ids() + first_token * c.top_k, m_.choice_weights() + first_token * c.top_k, tokens, c.top_k};
    need(moesaic::forward<layer_type>(ctx, moesaic::matrix_view<moesaic::bf16 const>(x, tokens, c.hidden), w,
                                      moesaic::matrix_view<moesaic::bf16>(y, tokens, c.hidden),
                                      {workspace_.template as<std::byte>(), workspace_.bytes()}, extras),
         "forward");
  }

  unsigned long long differing(moesaic::bf16 const* a, moesaic::bf16 const* b, std::int64_t tokens) const {
    unsigned long long count = 0;
    ok(cudaMemsetAsync(count_.template as<std::byte>(), 0, 8, s_));
    count_differing<<<512, 256, 0, s_>>>(reinterpret_cast<std::uint16_t const*>(a), reinterpret_cast<std::uint16_t const*>(b),
                                         tokens * c.hidden, count_.template as<unsigned long long>());
    ok(cudaGetLastError());
    ok(cudaMemcpyAsync(&count, count_.template as<std::byte>(), 8, cudaMemcpyDeviceToHost, s_));
    ok(cudaStreamSynchronize(s_));
    return count;
  }

  /// The direct call against the graph; the first tokens and some of all against calls with 64 tokens.
  std::string check_bits(std::int64_t tokens, graph const& g) const {
    std::string wrong;
    auto const expect = [&](char const* what, unsigned long long count) {
      if (count != 0) wrong += std::string(wrong.empty() ? "" : "; ") + what + ": " + std::to_string(count) + " elements differ";
    };
    poison(m_.other_y(), tokens);
    call(ctx_, weights_, m_.x(), tokens, m_.other_y(), 0);
    poison(m_.y(), tokens);
    g.launch(s_);
    expect("graph and direct call", differing(m_.y(), m_.other_y(), tokens));
    expect("the first tokens and these alone", differing(m_.y(), alone(), std::min(tokens, few)));
    if (tokens <= few) return wrong;
    auto* const x = some_.template as<moesaic::bf16>();
    auto *const of_all = x + few * c.hidden, *const of_some = of_all + few * c.hidden;
    for (std::int64_t i = 0; i < few; ++i) {
      std::int64_t const token = i * (tokens - 1) / (few - 1);
      ok(cudaMemcpyAsync(x + i * c.hidden, m_.x() + token * c.hidden, c.hidden * 2, cudaMemcpyDeviceToDevice, s_));
      ok(cudaMemcpyAsync(of_all + i * c.hidden, m_.y() + token * c.hidden, c.hidden * 2, cudaMemcpyDeviceToDevice, s_));
    }
    poison(of_some, few);
    call(ctx_, weights_, x, few, of_some, 0);
    expect("64 tokens of all and these alone", differing(of_all, of_some, few));
    return wrong;
  }

  layer_memory const& m_;
  cudaStream_t s_;
  context ctx_;
  stepwise stepwise_;
  memory workspace_, home_, stepwise_home_;
  memory alone_{few * c.hidden * 2}, some_{3 * few * c.hidden * 2}, count_{8};
  moesaic::prepared_weights<context, layer_type> weights_;
  moesaic::prepared_weights<stepwise, layer_type> stepwise_weights_;
};

/// The same layer in two ways, timed in turn.
template <class A, class B>
std::pair<layer_times, layer_times> measure_in_turn(A const& a, B const& b, std::int64_t tokens, cold_cache const& cache, cudaStream_t s,
                                                    int rounds) {
  std::vector<graph> const graphs[2] = {a.graphs(tokens), b.graphs(tokens)};
  std::size_t at[2] = {};
  auto const launch = [&](int way) { graphs[way][at[way]++ % graphs[way].size()].launch(s); };
  std::vector<times> const t = time_cold_in_turn(s, cache, 2, launch, rounds, 0.2);
  std::pair<layer_times, layer_times> r{a.measure_steps(tokens, graphs[0].front(), cache, rounds),
                                        b.measure_steps(tokens, graphs[1].front(), cache, rounds)};
  r.first.t = t[0];
  r.second.t = t[1];
  return r;
}

}  // namespace gpu
