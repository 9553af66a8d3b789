// The second half of a layer, added to the residual stream: a dense SwiGLU, or a mixture of experts.
#pragma once

#include <cstdint>

#include "arrays.hpp"
#include "linear.hpp"
#include "model_tensors.hpp"

namespace deepseek_v3 {

/// h += x, both [T, H].
inline void add(matrix const& x, matrix const& h) {
  moesaic::matrix_view<float> const from = view_of(x), to = view_of(h);
  for_each(from.rows, [=](std::int64_t r) {
    for (std::int64_t i = 0; i < from.cols; ++i) to(r, i) += from(r, i);
  });
}

template <moesaic::weight_format F>
class dense_mlp {
 public:
  dense_mlp(context const& ctx, mlp_tensors const& t) : gate_(ctx, t.gate[0]), up_(ctx, t.up[0]), down_(ctx, t.down[0]) {}

  /// h += MLP(x).
  void operator()(context const& ctx, matrix const& x, matrix const& h) const {
    matrix const hidden = gate_(ctx, x);
    must(moesaic::activation(ctx, view_of(hidden), view_of(up_(ctx, x)), view_of(hidden)));
    add(down_(ctx, hidden), h);
  }

 private:
  linear<F> gate_, up_, down_;
};

/// moesaic's layer for a model of ours: its weights as the checkpoint has them, its activations fp32.
template <class Model>
struct moe_layer_of {
  struct moe_model {
    static constexpr moesaic::moe_config config = Model::config.moe;
  };
  struct weights_as_stored {
    static constexpr moesaic::layer_policy policy{
        .weights = Model::config.weights,
        .router = Model::config.weights == moesaic::weight_format::f32 ? moesaic::weight_format::f32 : moesaic::weight_format::bf16};
  };
  using type = moesaic::layer<moe_model, weights_as_stored>;
};

template <class Model>
class moe_mlp {
  using layer = typename moe_layer_of<Model>::type;

 public:
  moe_mlp(context const& ctx, layer_tensors const& t) : packed_(make_bytes(moesaic::prepared_bytes<layer>(ctx))) {
    constexpr moesaic::weight_format format = layer::policy.weights;
    source<layer::policy.router> const router({t.router});
    source<format> const gate(t.mlp.gate), up(t.mlp.up), down(t.mlp.down);
    source<format> const shared_gate(t.shared.gate), shared_up(t.shared.up), shared_down(t.shared.down);
    vector const bias = t.router_bias != nullptr ? make_vector(*t.router_bias) : vector();
    must(moesaic::prepare<layer>(ctx,
                                 {.router = router.weights(),
                                  .bias = bias.data(),
                                  .gate = gate.weights(),
                                  .up = up.weights(),
                                  .down = down.weights(),
                                  .shared_gate = shared_gate.weights(),
                                  .shared_up = shared_up.weights(),
                                  .shared_down = shared_down.weights()},
                                 memory_of(packed_), prepared_));
  }

  static std::size_t workspace_bytes(context const& ctx, std::int64_t tokens) { return moesaic::workspace_bytes<layer>(ctx, tokens); }

  /// h += MoE(x), with the experts of each token written to `choice`.
  void operator()(context const& ctx, matrix const& x, matrix const& h, moesaic::topk_choice choice, bytes const& workspace) const {
    must(moesaic::forward<layer>(ctx, view_of(x), prepared_, view_of(h), memory_of(workspace), {.choice = choice, .residual = view_of(h)}));
  }

 private:
  bytes packed_;
  moesaic::prepared_weights<context, layer> prepared_{};
};

}  // namespace deepseek_v3
