// The memory-bound stages of a DeepSeek-V3 layer on a GPU: microseconds, and the bytes that a stage has to read and write by the time it
// takes, as a share of what a copy kernel gives in turn with it. x and y are bf16. Every stage's result is compared, bit by bit, with what
// its functor gives as a kernel of the general kind.
//   bench_gpu_stages [--out FILE] [--tokens 64,4096,8192] [--only select,map,…]
#include <cuda_runtime.h>

#include <functional>
#include <moesaic/config/layer.hpp>
#include <moesaic/config/models.hpp>
#include <moesaic/cuda/activation.hpp>
#include <moesaic/cuda/combine.hpp>
#include <moesaic/cuda/front.hpp>
#include <moesaic/cuda/map.hpp>
#include <moesaic/cuda/permute.hpp>
#include <moesaic/cuda/quantize.hpp>
#include <moesaic/cuda/select.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "bandwidth.hpp"
#include "bench.hpp"
#include "random_data.hpp"

namespace {

using namespace gpu;
using namespace moesaic;

using layer_type = layer<models::deepseek_v3>;
constexpr moe_config config = layer_type::config;
constexpr std::int64_t hidden = config.hidden, inter = config.inter, experts = config.experts, top_k = config.top_k, blocks = hidden / 128;

template <class T>
__global__ void fill(T* to, std::int64_t count, std::uint64_t seed, float scale) {
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < count; i += std::int64_t{gridDim.x} * blockDim.x)
    to[i] = from_float<T>(scale * normal(static_cast<std::uint64_t>(i), seed));
}

/// *different += how many of the words differ.
__global__ void count_different(std::uint32_t const* a, std::uint32_t const* b, std::int64_t words, unsigned long long* different) {
  unsigned long long mine = 0;
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < words; i += std::int64_t{gridDim.x} * blockDim.x)
    mine += a[i] != b[i] ? 1 : 0;
  if (mine != 0) atomicAdd(different, mine);
}

void need(status const& s) {
  if (!s) throw std::runtime_error(moesaic::describe(s).c_str());
}

/// Pieces of one allocation.
struct arena {
  gpu::memory all;
  std::size_t used = 0;

  explicit arena(std::size_t bytes) : all(bytes) {}
  template <class T>
  T* take(std::int64_t count) {
    T* const p = reinterpret_cast<T*>(all.as<std::byte>() + used);
    used += (static_cast<std::size_t>(count) * sizeof(T) + 255) / 256 * 256;
    if (used > all.bytes()) throw std::runtime_error("the arena is too small");
    return p;
  }
};

struct item {
  std::string name;
  double bytes;                   // that have to move; 0: not a matter of bandwidth
  std::function<void(int)> call;  // the i-th
  int repeats = 1;                // stages a call
};

struct stages {
  bench& b;
  arena home{std::size_t{14} << 30};
  unsigned long long* different = nullptr;
  std::vector<std::string> only;

  explicit stages(bench& b_) : b(b_) { different = home.take<unsigned long long>(1); }

  bool wanted(std::string const& name) const {
    bool yes = only.empty();
    for (std::string const& o : only) yes = yes || name.find(o) != std::string::npos;
    return yes;
  }

  template <class T>
  T* random(std::int64_t count, std::uint64_t seed, float scale = 1.0F) {
    T* const p = home.take<T>(count);
    fill<<<2048, 256, 0, b.s>>>(p, count, seed, scale);
    ok(cudaGetLastError());
    return p;
  }

  /// launch_fast() must leave in `out` what launch_general() leaves in `other`. `words` of 32 bits.
  template <class Fast, class General>
  void check_launches(std::string const& name, Fast const& launch_fast, General const& launch_general, void* out, void* other,
                      std::int64_t words) {
    b.guarded("check of " + name, [&] {
      auto const bytes = static_cast<std::size_t>(words) * 4;
      ok(cudaMemsetAsync(out, 0xA5, bytes, b.s));
      ok(cudaMemsetAsync(other, 0xA5, bytes, b.s));
      ok(cudaMemsetAsync(different, 0, sizeof *different, b.s));
      need(launch_fast());
      need(launch_general());
      count_different<<<2048, 256, 0, b.s>>>(static_cast<std::uint32_t const*>(out), static_cast<std::uint32_t const*>(other), words,
                                             different);
      ok(cudaGetLastError());
      unsigned long long count = 0;
      ok(cudaMemcpyAsync(&count, different, sizeof count, cudaMemcpyDeviceToHost, b.s));
      b.s.wait();
      if (count != 0) throw std::runtime_error(std::to_string(count) + " words differ from the general kernel's");
    });
  }

  template <class F>
  void check(std::string const& name, std::int64_t n, F const& fast, F const& general, void* out, void* other, std::int64_t words) {
    check_launches(
        name, [&] { return cuda::launcher<F>::launch(b.s, n, fast); }, [&] { return cuda::start_any(b.s, n, general); }, out, other, words);
  }

  /// Times all items in turn with copies of `bytes` bytes, and says what share of the best copy each has.
  void report(std::int64_t tokens, std::vector<item> items, std::int64_t bytes) {
    std::size_t const before = home.used;
    std::int64_t const tiles = bytes / (512 * 4 * 16);
    auto* const from = random<float>(bytes / 4, 99);
    auto* const to = home.take<float>(bytes / 4);
    std::size_t const stages_alone = items.size();
    auto const moved = 2.0 * static_cast<double>(tiles * (512 * 4 * 16));
    int const sms = b.card.multiProcessorCount;
    items.push_back({"copy, a block a tile", moved, [=, this](int) {
                       copy_tiles<4><<<static_cast<int>(tiles), 512, 0, b.s>>>(reinterpret_cast<uint4 const*>(from),
                                                                               reinterpret_cast<uint4*>(to), tiles);
                       ok(cudaGetLastError());
                     }});
    items.push_back({"copy, resident grid", moved, [=, this](int) {
                       copy_tiles<4><<<sms * 4, 512, 0, b.s>>>(reinterpret_cast<uint4 const*>(from), reinterpret_cast<uint4*>(to), tiles);
                       ok(cudaGetLastError());
                     }});
    items.push_back({"copy, cudaMemcpyAsync", moved, [=, this](int) {
                       ok(cudaMemcpyAsync(to, from, static_cast<std::size_t>(tiles * (512 * 4 * 16)), cudaMemcpyDeviceToDevice, b.s));
                     }});
    b.guarded("timing of T = " + std::to_string(tokens), [&] {
      std::vector<times> t = time_in_turn(
          b.s, static_cast<int>(items.size()), [&](int v, int i) { items[static_cast<std::size_t>(v)].call(i); }, 21, 1000.0, 20'000.0);
      double copy = 0.0;
      for (std::size_t i = stages_alone; i < items.size(); ++i) copy = std::max(copy, items[i].bytes / t[i].median * 1e-3);
      for (std::size_t i = 0; i < items.size(); ++i) {
        double const rate = items[i].bytes / t[i].median * 1e-3;
        std::printf("%6lld  %-34s %9.2f us (%.2f to %.2f) %8.0f GB/s %6.1f %% of copy\n", static_cast<long long>(tokens),
                    items[i].name.c_str(), t[i].median, t[i].min, t[i].max, rate, 100.0 * rate / copy);
        b.out.write(json()
                        .add("item", "stage")
                        .add("stage", items[i].name)
                        .add("tokens", tokens)
                        .add("bytes", items[i].bytes)
                        .add(t[i])
                        .add("gb_per_s", rate)
                        .add("copy_gb_per_s", copy)
                        .add("share_of_copy", rate / copy));
      }
    });
    home.used = before;
  }

  /// What moves x, partials and y.
  void rows(std::int64_t tokens) {
    std::size_t const before = home.used;
    std::int64_t const slots = tokens * top_k;
    // Inputs in rotation: together larger than what L2 could keep from one call to the next.
    std::int64_t const rotation = std::max<std::int64_t>(1, std::min<std::int64_t>(64, 400'000'000 / (tokens * hidden * 2)));
    std::int64_t const wide_rotation = std::max<std::int64_t>(1, std::min<std::int64_t>(64, 400'000'000 / (slots * hidden * 2)));
    auto const turn = [](std::int64_t count, int i) { return static_cast<std::int64_t>(i) % count; };

    bf16* const x = random<bf16>(rotation * tokens * hidden, 1);
    bf16* const partials = random<bf16>(wide_rotation * slots * hidden, 2);
    bf16* const shared = random<bf16>(rotation * tokens * hidden, 3);
    bf16* const residual = random<bf16>(rotation * tokens * hidden, 4);
    float* const logits = random<float>(tokens * experts, 5);
    float* const bias = random<float>(experts, 6, 0.05F);
    bf16* const y = home.take<bf16>(rotation * tokens * hidden);
    bf16* const y_other = home.take<bf16>(tokens * hidden);
    auto* const ids = home.take<std::int32_t>(slots);
    auto* const weights = home.take<float>(slots);
    dispatch_map const map{home.take<std::int32_t>(experts + 1),
                           home.take<std::int32_t>(slots),
                           home.take<std::int32_t>(slots),
                           tokens,
                           config.top_k,
                           config.experts};
    need(cuda::launcher<select_experts<layer_type>>::launch(
        b.s, tokens, select_experts<layer_type>{{logits, tokens, experts}, {bias}, {ids, weights, tokens, config.top_k}}));
    need(cuda::launcher<build_dispatch_map>::launch(b.s, 1, build_dispatch_map{ids, map, nullptr}));

    std::vector<item> items;
    auto const add = [&](std::string const& name, std::int64_t bytes, std::function<void(int)> call) {
      if (wanted(name)) items.push_back({name, static_cast<double>(bytes), std::move(call)});
    };
    auto const row_bytes = [&](std::int64_t rows, std::int64_t each) { return rows * hidden * each; };

    {  // quantise
      std::int64_t const scales_of = blocks * align_up(tokens, 4);
      auto* const codes = home.take<std::uint8_t>(rotation * tokens * hidden);
      auto* const scales = home.take<float>(rotation * scales_of);
      auto* const other = home.take<std::uint8_t>(tokens * hidden);
      auto* const other_scales = home.take<float>(scales_of);
      auto const make = [=](std::int64_t at, std::uint8_t* c, float* s) {
        return quantize_rows<bf16, float>{{x + at * tokens * hidden, tokens, hidden}, {c, s, tokens, hidden}};
      };
      check("quantise: codes", tokens * blocks, make(0, codes, scales), make(0, other, other_scales), codes, other, tokens * hidden / 4);
      check("quantise: scales", tokens * blocks, make(0, codes, scales), make(0, other, other_scales), scales, other_scales, scales_of);
      add("quantise bf16 to E4M3", row_bytes(tokens, 3) + 4 * blocks * tokens, [=, this](int i) {
        std::int64_t const at = turn(rotation, i);
        need(cuda::launcher<quantize_rows<bf16, float>>::launch(b.s, tokens * blocks,
                                                                make(at, codes + at * tokens * hidden, scales + at * scales_of)));
      });

      // permute of what that made
      std::int64_t const out_scales_of = blocks * align_up(slots, 4);
      auto* const out_codes = home.take<std::uint8_t>(slots * hidden);
      auto* const out_scales = home.take<float>(out_scales_of);
      auto* const out_other = home.take<std::uint8_t>(slots * hidden);
      auto* const out_other_scales = home.take<float>(out_scales_of);
      auto const permuted = [=](std::int64_t at, std::uint8_t* c, float* s, bool both_ways) {
        return permute_quantized_row<float>{{codes + at * tokens * hidden, scales + at * scales_of, tokens, hidden},
                                            {map.row_to_slot, both_ways ? map.slot_to_row : nullptr},
                                            config.top_k,
                                            {c, s, slots, hidden}};
      };
      check("permute E4M3: codes", slots, permuted(0, out_codes, out_scales, true), permuted(0, out_other, out_other_scales, true),
            out_codes, out_other, slots * hidden / 4);
      check("permute E4M3: scales", slots, permuted(0, out_codes, out_scales, true), permuted(0, out_other, out_other_scales, true),
            out_scales, out_other_scales, out_scales_of);
      for (bool const both_ways : {true, false})
        add(both_ways ? "permute E4M3" : "permute E4M3, one map", row_bytes(tokens + slots, 1) + 4 * blocks * (tokens + slots),
            [=, this](int i) {
              need(cuda::launcher<permute_quantized_row<float>>::launch(b.s, slots,
                                                                        permuted(turn(rotation, i), out_codes, out_scales, both_ways)));
            });
    }
    {
      bf16* const out = home.take<bf16>(slots * hidden);
      auto const make = [=](std::int64_t at, bf16* to, bool both_ways) {
        return permute_row<bf16>{{x + at * tokens * hidden, tokens, hidden},
                                 {map.row_to_slot, both_ways ? map.slot_to_row : nullptr},
                                 config.top_k,
                                 {to, slots, hidden}};
      };
      {
        std::size_t const there = home.used;
        bf16* const other = home.take<bf16>(slots * hidden);
        check("permute bf16", slots, make(0, out, true), make(0, other, true), out, other, slots * hidden / 2);
        check("permute bf16, one map", slots, make(0, out, false), make(0, other, false), out, other, slots * hidden / 2);
        home.used = there;
      }
      for (bool const both_ways : {true, false})
        add(both_ways ? "permute bf16" : "permute bf16, one map", row_bytes(tokens + slots, 2),
            [=, this](int i) { need(cuda::launcher<permute_row<bf16>>::launch(b.s, slots, make(turn(rotation, i), out, both_ways))); });
    }
    {  // combine
      auto const make = [=](int i, bf16* to, bool all) {
        combine_extras<bf16, bf16> extras;
        std::int64_t const at = turn(rotation, i) * tokens * hidden;
        if (all) {
          extras.shared = {shared + at, tokens, hidden};
          extras.residual = {residual + at, tokens, hidden};
        }
        return combine_row<bf16, bf16>{
            {partials + turn(wide_rotation, i) * slots * hidden, slots, hidden}, map, ids, weights, extras, {to, tokens, hidden}};
      };
      for (bool const all : {false, true}) {
        check(all ? "combine with shared and residual" : "combine", tokens, make(0, y, all), make(0, y_other, all), y, y_other,
              tokens * hidden / 2);
        add(all ? "combine, shared + residual" : "combine bf16", row_bytes(slots + tokens * (all ? 3 : 1), 2) + slots * 8,
            [=, this](int i) {
              need(cuda::launcher<combine_row<bf16, bf16>>::launch(b.s, tokens, make(i, y + turn(rotation, i) * tokens * hidden, all)));
            });
      }
    }
    report(tokens, std::move(items), std::max<std::int64_t>(64 << 20, std::min<std::int64_t>(row_bytes(slots, 1), 1 << 30)));
    home.used = before;
  }

  /// What moves hidden rows, and the widening of x.
  void activations(std::int64_t tokens) {
    std::size_t const before = home.used;
    std::int64_t const slots = tokens * top_k, inner_blocks = inter / 128;
    std::int64_t const rotation = std::max<std::int64_t>(1, std::min<std::int64_t>(64, 400'000'000 / (slots * inter * 8)));
    auto const turn = [rotation](int i) { return static_cast<std::int64_t>(i) % rotation; };
    float* const gate = random<float>(rotation * slots * inter, 11, 2.0F);
    float* const up = random<float>(rotation * slots * inter, 12, 2.0F);
    bf16* const x = random<bf16>(tokens * hidden, 13);
    std::int64_t const scales_of = inner_blocks * align_up(slots, 4);
    auto* const codes = home.take<std::uint8_t>(rotation * slots * inter);
    auto* const scales = home.take<float>(scales_of);
    auto* const other = home.take<std::uint8_t>(slots * inter);
    auto* const other_scales = home.take<float>(scales_of);
    float* const wide = home.take<float>(std::max(slots * inter, tokens * hidden));
    float* const wide_other = home.take<float>(std::max(slots * inter, tokens * hidden));
    std::vector<item> items;
    using quantised = activate_quantize_rows<float, activation_fn::swiglu, no_terms>;
    using plain = activate_row<activation_format::bf16, activation_fn::swiglu, no_terms>;
    using widen = widen_row<bf16, activation_format::f32>;
    auto const make = [=](std::int64_t at, std::uint8_t* c, float* s) {
      return quantised{
          {gate + at * slots * inter, slots, inter}, {up + at * slots * inter, slots, inter}, nullptr, {c, s, slots, inter}, {}};
    };
    auto const make_plain = [=](std::int64_t at, float* to) {
      return plain{{gate + at * slots * inter, slots, inter}, {up + at * slots * inter, slots, inter}, nullptr, {to, slots, inter}, {}};
    };
    auto const make_widen = [=](float* to) { return widen{{x, tokens, hidden}, {to, tokens, hidden}}; };
    check("activate + quantise: codes", slots * inner_blocks, make(0, codes, scales), make(0, other, other_scales), codes, other,
          slots * inter / 4);
    check("activate + quantise: scales", slots * inner_blocks, make(0, codes, scales), make(0, other, other_scales), scales, other_scales,
          scales_of);
    check("activate", slots, make_plain(0, wide), make_plain(0, wide_other), wide, wide_other, slots * inter);
    check("widen", tokens, make_widen(wide), make_widen(wide_other), wide, wide_other, tokens * hidden);
    auto const add = [&](std::string const& name, std::int64_t bytes, std::function<void(int)> call) {
      if (wanted(name)) items.push_back({name, static_cast<double>(bytes), std::move(call)});
    };
    add("activate + quantise, f32 to E4M3", slots * inter * 9 + 4 * inner_blocks * slots, [=, this](int i) {
      need(cuda::launcher<quantised>::launch(b.s, slots * inner_blocks, make(turn(i), codes + turn(i) * slots * inter, scales)));
    });
    add("activate, f32 to bf16 in f32", slots * inter * 12,
        [=, this](int i) { need(cuda::launcher<plain>::launch(b.s, slots, make_plain(turn(i), wide))); });
    add("widen bf16 to f32", tokens * hidden * 6, [=, this](int) { need(cuda::launcher<widen>::launch(b.s, tokens, make_widen(wide))); });
    report(tokens, std::move(items), std::max<std::int64_t>(64 << 20, std::min<std::int64_t>(slots * inter * 4, 1 << 30)));
    home.used = before;
  }

  /// Selection and map, which are too short for anything but a graph; their inputs are in L2, as they are in a layer.
  void router(std::int64_t tokens) {
    std::size_t const before = home.used;
    constexpr int repeats = 64, rotation = 4;
    std::int64_t const slots = tokens * top_k;
    float* const logits = random<float>(rotation * tokens * experts, 21);
    float* const bias = random<float>(experts, 22, 0.05F);
    auto* const ids = home.take<std::int32_t>(rotation * slots);
    auto* const weights = home.take<float>(slots);
    auto* const other_ids = home.take<std::int32_t>(slots);
    auto* const other_weights = home.take<float>(slots);
    auto* const maps = home.take<std::int32_t>(experts + 1 + 2 * slots);
    auto* const other_maps = home.take<std::int32_t>(experts + 1 + 2 * slots);
    auto const select = [=](int i, std::int32_t* to, float* w) {
      return select_experts<layer_type>{{logits + i % rotation * tokens * experts, tokens, experts}, {bias}, {to, w, tokens, config.top_k}};
    };
    auto const map = [=](int i, std::int32_t* to) {
      return build_dispatch_map{
          ids + i % rotation * slots, {to, to + experts + 1, to + experts + 1 + slots, tokens, config.top_k, config.experts}, nullptr};
    };
    check("select: ids", tokens, select(0, ids, weights), select(0, other_ids, other_weights), ids, other_ids, slots);
    check("select: weights", tokens, select(0, ids, weights), select(0, other_ids, other_weights), weights, other_weights, slots);
    for (int i = 1; i < rotation; ++i)
      need(cuda::launcher<select_experts<layer_type>>::launch(b.s, tokens, select(i, ids + i * slots, weights)));
    check("map", 1, map(0, maps), map(0, other_maps), maps, other_maps, experts + 1 + 2 * slots);

    std::size_t const scratch_bytes = cuda::front_scratch_bytes<layer_type>(tokens);
    moesaic::memory const scratch{home.take<std::byte>(static_cast<std::int64_t>(scratch_bytes)), scratch_bytes};
    auto const front = [=, this](int i, std::int32_t* to_ids, float* to_weights, std::int32_t* to) {
      build_dispatch_map one = map(0, to);
      one.ids = to_ids;
      return cuda::launch_front(b.s, b.card.multiProcessorCount, select(i, to_ids, to_weights), one, scratch);
    };
    check_launches(
        "select and map as one", [&] { return front(0, other_ids, other_weights, maps); },
        [&] { return cuda::start_any(b.s, 1, map(0, other_maps)); }, maps, other_maps, experts + 1 + 2 * slots);

    auto const chain = [&](bool selects, bool maps_too, bool as_one = false) {
      cudaGraph_t graph = nullptr;
      cudaGraphExec_t executable = nullptr;
      ok(cudaStreamBeginCapture(b.s, cudaStreamCaptureModeThreadLocal));
      for (int i = 0; i < repeats; ++i) {
        if (as_one) need(front(i, ids + i % rotation * slots, weights, maps));
        if (selects) need(cuda::launcher<select_experts<layer_type>>::launch(b.s, tokens, select(i, ids + i % rotation * slots, weights)));
        if (maps_too) need(cuda::launcher<build_dispatch_map>::launch(b.s, 1, map(i, maps)));
      }
      ok(cudaStreamEndCapture(b.s, &graph));
      ok(cudaGraphInstantiate(&executable, graph, 0));
      ok(cudaGraphDestroy(graph));
      return executable;
    };
    b.guarded("router of T = " + std::to_string(tokens), [&] {
      cudaGraphExec_t const graphs[] = {chain(true, false), chain(false, true), chain(true, true), chain(false, false, true)};
      char const* const names[] = {"select", "map", "select + map", "select + map as one"};
      std::vector<times> t = time_in_turn(
          b.s, 4, [&](int v, int) { ok(cudaGraphLaunch(graphs[v], b.s)); }, 21, 500.0, 5000.0);
      for (int v = 0; v < 4; ++v) {
        for (double* const us :
             {&t[static_cast<std::size_t>(v)].median, &t[static_cast<std::size_t>(v)].min, &t[static_cast<std::size_t>(v)].max})
          *us /= repeats;
        times const& mine = t[static_cast<std::size_t>(v)];
        std::printf("%6lld  %-34s %9.2f us (%.2f to %.2f)\n", static_cast<long long>(tokens), names[v], mine.median, mine.min, mine.max);
        b.out.write(json().add("item", "stage").add("stage", names[v]).add("tokens", tokens).add("graph_of", repeats).add(mine));
      }
      for (cudaGraphExec_t const g : graphs) ok(cudaGraphExecDestroy(g));
    });
    home.used = before;
  }
};

std::vector<std::string> split(std::string const& text) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, ',');) parts.push_back(part);
  return parts;
}

}  // namespace

int main(int argc, char** argv) try {
  std::string out;
  std::vector<std::string> tokens{"64", "4096", "8192"}, router_tokens{"1", "64", "512", "1024", "4096", "8192"}, only;
  for (int i = 1; i + 1 < argc; i += 2) {
    std::string const key = argv[i];
    if (key == "--out")
      out = argv[i + 1];
    else if (key == "--tokens")
      tokens = router_tokens = split(argv[i + 1]);
    else if (key == "--only")
      only = split(argv[i + 1]);
    else
      throw std::runtime_error("unknown argument " + key);
  }
  if (!has_gpu()) return 77;
  bench b(out);
  std::printf("%s; tokens, stage, microseconds (least to most), rate\n", b.card.name);
  stages s(b);
  s.only = only;
  for (std::string const& t : router_tokens) b.guarded("router", [&] { s.router(std::stoll(t)); });
  for (std::string const& t : tokens) b.guarded("rows", [&] { s.rows(std::stoll(t)); });
  for (std::string const& t : tokens)
    if (std::stoll(t) <= 4096) b.guarded("activations", [&] { s.activations(std::stoll(t)); });  // fp32 rows: 8192 tokens would be 2 GB
  std::printf("%.1f s; SM %u MHz, %u W; %d failed\n", b.seconds(), b.clocks.sm_mhz(), b.clocks.watts(), b.failures);
  return b.failures == 0 ? 0 : 1;
} catch (std::exception const& e) {
  std::printf("FAILED  %s\n", e.what());
  return 1;
}
