// A MoE layer as a custom operator of ggml: a function that every one of ggml's threads calls at the same time, with its number. That is
// what cpu::worker is for. The one thing that it needs and that the callback does not get is a barrier, so the operator brings its own.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <moesaic/cpu.hpp>

namespace moe {

/// Mixtral's rules, small. Weights fp32 as the checkpoint stores them.
struct model {
  static constexpr moesaic::moe_config config{.hidden = 64, .inter = 32, .experts = 8, .top_k = 2, .norm = moesaic::norm_fn::sum};
};
using layer = moesaic::layer<model, moesaic::policies::f32_weights>;

/// Where all threads of a call meet, again and again.
class meeting {
 public:
  void wait(int threads) {
    std::int32_t const round = round_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 < threads) return round_.wait(round, std::memory_order_acquire);
    arrived_.store(0, std::memory_order_relaxed);
    round_.fetch_add(1, std::memory_order_release);
    round_.notify_all();
  }

 private:
  std::atomic<std::int32_t> arrived_{0}, round_{0};
};

struct at_the_meeting {
  meeting* all;
  int threads;
  void operator()() const { all->wait(threads); }
};
using worker = moesaic::cpu::worker<at_the_meeting>;
using backend = moesaic::cpu::on<worker&>;

/// The operator's userdata: one for each graph that is computed on its own.
struct operator_data {
  moesaic::prepared_weights<backend, layer> weights;
  moesaic::memory workspace;  ///< for the most tokens of a call
  moesaic::status said{};     ///< what the last call answered
  meeting all;

  /// f(backend) on the calling thread alone: for sizes and for prepare.
  template <class F>
  auto alone(F const& f) {
    worker me(0, 1, {&all, 1});
    return f(backend(me));
  }
};

/// dst = layer(dst->src[0]), both fp32 [tokens][hidden] (ggml: ne = {hidden, tokens, 1, 1}), rows 16-byte aligned, in place or not.
/// operation<ggml_tensor> is a ggml_custom_op_t; n_tasks has to be GGML_N_TASKS_MAX.
// [operation]
template <class Tensor>
void operation(Tensor* dst, int ith, int nth, void* userdata) {
  auto& op = *static_cast<operator_data*>(userdata);
  auto const rows = [](auto* p, Tensor const* t) {
    return moesaic::matrix_view(p, t->ne[1], t->ne[0], static_cast<std::int64_t>(t->nb[1] / sizeof(float)));
  };
  Tensor const* const src = dst->src[0];
  worker me(ith, nth, {&op.all, nth});
  moesaic::status const s = moesaic::forward<layer>(backend(me), rows(static_cast<float const*>(src->data), src), op.weights,
                                                    rows(static_cast<float*>(dst->data), dst), op.workspace);
  if (ith == 0) op.said = s;  // the same in all of them
}
// [operation]

}  // namespace moe
