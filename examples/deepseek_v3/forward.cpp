// The one file that is compiled for a model. Everything is fp32 between the weights: the library's reference mode.
//
// Weights are loaded and packed for one half of a layer at a time, and freed when it has run. A single pass over a prompt needs no more:
// that is how 671B parameters fit a small machine, whose memory must hold the packed experts of one layer, 11.3 GB, and the activations.
// The mapped files count as cache, which the system drops when it needs to.
#include "forward.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include "arrays.hpp"
#include "attention.hpp"
#include "linear.hpp"
#include "mlp.hpp"
#include "model_tensors.hpp"
#include "rms_norm.hpp"
#include "rope.hpp"
#include MOESAIC_DEEPSEEK_MODEL_HEADER

namespace deepseek_v3 {
namespace {

constexpr int moe_layers(model_config const& c) {
  int n = 0;
  for (int l = 0; l < c.num_hidden_layers; ++l) n += c.is_moe_layer(l) ? 1 : 0;
  return n;
}

class stopwatch {
 public:
  stopwatch(std::vector<stage_time>& timings, char const* stage) : timings_(timings), stage_(stage) {}
  stopwatch(stopwatch const&) = delete;
  stopwatch& operator=(stopwatch const&) = delete;
  ~stopwatch() {
    Kokkos::fence();
    auto known = std::ranges::find(timings_, stage_, &stage_time::stage);
    if (known == timings_.end()) known = timings_.insert(known, {stage_, 0.0});
    known->seconds += std::chrono::duration<double>(clock::now() - start_).count();
  }

 private:
  using clock = std::chrono::steady_clock;
  std::vector<stage_time>& timings_;
  char const* stage_;
  clock::time_point start_ = clock::now();
};

/// One prefill pass of Model.
template <class Model>
class prefill {
  static constexpr model_config const& c = Model::config;
  static constexpr bool has_moe = moe_layers(c) > 0;
  static_assert(!has_moe || c.moe.hidden == c.hidden_size, "the MoE layers must be as wide as the residual stream");
  static constexpr moesaic::weight_format unquantised =
      c.weights == moesaic::weight_format::f32 ? moesaic::weight_format::f32 : moesaic::weight_format::bf16;

 public:
  prefill(model_tensors const& tensors, std::vector<int> const& tokens)
      : tensors_(tensors), tokens_(tokens), count_(static_cast<std::int64_t>(tokens.size())), rope_(c, count_) {
    r_.tokens = count_;
    r_.vocab_size = c.vocab_size;
    r_.moe_layers = moe_layers(c);
    r_.top_k = has_moe ? c.moe.top_k : 0;
    r_.logits.resize(static_cast<std::size_t>(count_ * c.vocab_size));
    r_.experts.resize(static_cast<std::size_t>(r_.moe_layers * count_ * r_.top_k));
    r_.expert_weights.resize(r_.experts.size());
    if constexpr (has_moe) workspace_ = make_bytes(moe_mlp<Model>::workspace_bytes(ctx_, count_));
  }

  forward_result run() {
    matrix const h = make_matrix(count_, c.hidden_size);
    timed("embed", [&] { embed(h); });
    for (int l = 0; l < c.num_hidden_layers; ++l) layer(l, h);
    head(h);
    return std::move(r_);
  }

 private:
  /// f(), its time added to the stage's.
  template <class F>
  auto timed(char const* stage, F const& f) {
    stopwatch const until_return(r_.timings, stage);
    return f();
  }

  void embed(matrix const& h) {
    for_each(count_, [&](std::int64_t t) {
      std::size_t const first = static_cast<std::size_t>(tokens_[static_cast<std::size_t>(t)]) * c.hidden_size;
      for (std::size_t i = 0; i < c.hidden_size; ++i) h(t, i) = element(*tensors_.embedding, first + i);
    });
  }

  void layer(int l, matrix const& h) {
    layer_tensors const& t = tensors_.layers[static_cast<std::size_t>(l)];
    {
      auto const block = timed("load", [&] { return attention<Model>(ctx_, t.attention); });
      timed("attention", [&] { add(block(ctx_, rms_norm(h, make_vector(*t.attention_norm), c.rms_norm_eps), rope_), h); });
    }
    auto const normed = [&] { return rms_norm(h, make_vector(*t.mlp_norm), c.rms_norm_eps); };
    if (!c.is_moe_layer(l)) {
      auto const block = timed("load", [&] { return dense_mlp<c.weights>(ctx_, t.mlp); });
      timed("dense", [&] { block(ctx_, normed(), h); });
    } else if constexpr (has_moe) {
      auto const block = timed("load", [&] { return moe_mlp<Model>(ctx_, t); });
      timed("moe", [&] { block(ctx_, normed(), h, next_choice(), workspace_); });
    }
  }

  /// Where the next MoE layer's experts go in the result.
  moesaic::topk_choice next_choice() {
    std::int64_t const at = moe_layers_done_++ * count_ * r_.top_k;
    return {r_.experts.data() + at, r_.expert_weights.data() + at, count_, static_cast<int>(r_.top_k)};
  }

  void head(matrix const& h) {
    auto const block = timed("load", [&] { return linear<unquantised>(ctx_, tensors_.head); });
    timed("head", [&] {
      matrix const normed = rms_norm(h, make_vector(*tensors_.norm), c.rms_norm_eps);
      block(ctx_, view_of(normed), {r_.logits.data(), count_, c.vocab_size});
    });
  }

  model_tensors const& tensors_;
  std::vector<int> const& tokens_;
  std::int64_t count_;
  context ctx_{exec{}};
  rotation rope_;
  bytes workspace_;
  std::int64_t moe_layers_done_ = 0;
  forward_result r_{};
};

}  // namespace

model_config const& compiled_model() {
  static constexpr model_config config = model::config;
  return config;
}

forward_result run(checkpoint const& files, std::vector<int> const& tokens, int threads) {
  model_tensors const tensors = find_tensors(files, model::config);
  Kokkos::InitializationSettings settings;
  settings.set_disable_warnings(true);
  if (threads > 0) settings.set_num_threads(threads);
  Kokkos::ScopeGuard const kokkos(settings);
  forward_result r = prefill<model>(tensors, tokens).run();
  r.weight_bytes = tensors.bytes + tensors.embedding->bytes / model::config.vocab_size * tokens.size();
  return r;
}

}  // namespace deepseek_v3
