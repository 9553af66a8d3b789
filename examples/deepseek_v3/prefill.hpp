// One prefill pass. Everything is fp32 between the weights: the library's reference mode.
//
// Weights are loaded and prepared for one half of a layer at a time, and freed when it has run. A single pass over a prompt needs no more:
// that is how 671B parameters fit a small machine, whose memory must hold the packed experts of one layer, 11.3 GB, and the activations.
// The mapped files count as cache, which the system drops when it needs to.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "attention.hpp"
#include "forward.hpp"
#include "linear.hpp"
#include "mlp.hpp"
#include "model_tensors.hpp"
#include "rms_norm.hpp"
#include "rope.hpp"

namespace deepseek_v3 {

/// How many layers are MoE layers.
constexpr int moe_layers(model_config const& c) {
  int n = 0;
  for (int l = 0; l < c.num_hidden_layers; ++l) n += c.is_moe_layer(l) ? 1 : 0;
  return n;
}

/// One prefill pass of Model on `d`, which must outlive it.
template <device D, class Model>
class prefill {
  static constexpr model_config c = Model::config;
  static constexpr bool has_moe = moe_layers(c) > 0;
  static_assert(!has_moe || c.moe.hidden == c.hidden_size, "the MoE layers must be as wide as the residual stream");
  static constexpr moesaic::weight_format unquantised =
      c.weights == moesaic::weight_format::f32 ? moesaic::weight_format::f32 : moesaic::weight_format::bf16;

 public:
  prefill(D const& d, model_tensors const& tensors, std::vector<int> const& tokens)
      : d_(d), tensors_(tensors), tokens_(tokens), count_(static_cast<std::int64_t>(tokens.size())), rope_(d, c, count_) {
    r_.tokens = count_;
    r_.vocab_size = c.vocab_size;
    r_.moe_layers = moe_layers(c);
    r_.top_k = has_moe ? c.moe.top_k : 0;
    r_.logits.resize(static_cast<std::size_t>(count_ * c.vocab_size));
    r_.experts.resize(static_cast<std::size_t>(r_.moe_layers * count_ * r_.top_k));
    r_.expert_weights.resize(r_.experts.size());
    logits_.emplace(d_, r_.logits);
    experts_.emplace(d_, r_.experts);
    expert_weights_.emplace(d_, r_.expert_weights);
    if constexpr (has_moe) workspace_ = make_bytes(d_, moe_mlp<D, Model>::workspace_bytes(d_, count_));
  }

  forward_result run() {
    matrix<D> const h(d_, count_, c.hidden_size);
    timed("embed", [&] { embed(h); });
    for (int l = 0; l < c.num_hidden_layers; ++l) layer(l, h);
    head(h);
    return std::move(r_);
  }

 private:
  /// f() and all the work that it has started, their time added to the stage's.
  template <class F>
  auto timed(char const* stage, F const& f) {
    using clock = std::chrono::steady_clock;
    clock::time_point const start = clock::now();
    auto const done = [&] {
      d_.wait();
      auto known = std::ranges::find(r_.timings, stage, &stage_time::stage);
      if (known == r_.timings.end()) known = r_.timings.insert(known, {stage, 0.0});
      known->seconds += std::chrono::duration<double>(clock::now() - start).count();
    };
    if constexpr (std::is_void_v<decltype(f())>) {
      f();
      done();
    } else {
      auto result = f();
      done();
      return result;
    }
  }

  /// On the host, where the table is: of its 1.9 GB in the 671B model a pass reads a few rows.
  void embed(matrix<D> const& h) {
    fill(d_, h.view().data, count_ * c.hidden_size, [&](float* rows) {
      d_.for_each(count_, [&](std::int64_t t) {
        std::size_t const first = static_cast<std::size_t>(tokens_[static_cast<std::size_t>(t)]) * c.hidden_size;
        float* const row = rows + t * c.hidden_size;
        for (std::size_t i = 0; i < c.hidden_size; ++i) row[i] = element(*tensors_.embedding, first + i);
      });
    });
  }

  void layer(int l, matrix<D> const& h) {
    layer_tensors const& t = tensors_.layers[static_cast<std::size_t>(l)];
    {
      auto const block = timed("load", [&] { return attention<D, Model>(d_, t.attention); });
      timed("attention", [&] { add(d_, block(d_, norm(h, *t.attention_norm), rope_), h); });
    }
    if (!c.is_moe_layer(l)) {
      auto const block = timed("load", [&] { return dense_mlp<D, c.weights>(d_, t.mlp); });
      timed("dense", [&] { block(d_, norm(h, *t.mlp_norm), h); });
    } else if constexpr (has_moe) {
      auto const block = timed("load", [&] { return moe_mlp<D, Model>(d_, t); });
      timed("moe", [&] { block(d_, norm(h, *t.mlp_norm), h, next_choice(), workspace_); });
    }
  }

  /// Where the next MoE layer's experts go in the result.
  moesaic::topk_choice next_choice() {
    std::int64_t const at = moe_layers_done_++ * count_ * r_.top_k;
    return {experts_->data() + at, expert_weights_->data() + at, count_, static_cast<int>(r_.top_k)};
  }

  void head(matrix<D> const& h) {
    auto const block = timed("load", [&] { return linear<D, unquantised>(d_, tensors_.head); });
    timed("head", [&] {
      block(d_, norm(h, *tensors_.norm).view(), {logits_->data(), count_, c.vocab_size});
      logits_->fetch();
      experts_->fetch();
      expert_weights_->fetch();
    });
  }

  matrix<D> norm(matrix<D> const& h, tensor const& gain) { return rms_norm(d_, h, make_vector(d_, gain), c.rms_norm_eps); }

  D const& d_;
  model_tensors const& tensors_;
  std::vector<int> const& tokens_;
  std::int64_t count_;
  rotation<D> rope_;
  bytes<D> workspace_;
  std::int64_t moe_layers_done_ = 0;
  forward_result r_{};
  std::optional<output<D, float>> logits_, expert_weights_;  // of r_
  std::optional<output<D, std::int32_t>> experts_;
};

}  // namespace deepseek_v3
