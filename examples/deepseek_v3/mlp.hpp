// The second half of a layer, added to the residual stream: a dense SwiGLU, or a mixture of experts.
#pragma once

#include <cstdint>
#include <moesaic/config/layer.hpp>
#include <moesaic/pipeline/forward.hpp>
#include <moesaic/semantics/group.hpp>
#include <utility>

#include "arrays.hpp"
#include "linear.hpp"
#include "model_tensors.hpp"

namespace deepseek_v3 {

struct add_row {
  struct scratch {};

  moesaic::matrix_view<float const> from;
  moesaic::matrix_view<float> to;

  template <moesaic::group G>
  MOESAIC_HD void operator()(G const& g, std::int64_t r, scratch&) const {
    float const* const x = from.row(r);
    float* const h = to.row(r);
    g.for_each(static_cast<int>(from.cols), [=](int i) { h[i] += x[i]; });
  }
};

/// h += x, both [T, H].
template <class D>
void add(D const& d, matrix<D> const& x, matrix<D> const& h) {
  launch(d, h.rows(), add_row{x.view(), h.view()});
}

template <class D, moesaic::weight_format F>
class dense_mlp {
 public:
  dense_mlp(D const& d, mlp_tensors const& t) : gate_(d, t.gate[0]), up_(d, t.up[0]), down_(d, t.down[0]) {}

  /// h += MLP(x).
  void operator()(D const& d, matrix<D> const& x, matrix<D> const& h) const {
    matrix<D> const hidden = gate_(d, x);
    matrix<D> const up = up_(d, x);
    must(moesaic::activation(d.ctx, hidden.view(), up.view(), hidden.view()));
    add(d, down_(d, hidden), h);
  }

 private:
  linear<D, F> gate_, up_, down_;
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

/// All weights of one MoE layer.
template <class D, class L>
struct moe_source {
  source<D, L::policy.router> router;
  vector<D> bias;
  source<D, L::policy.weights> gate, up, down, shared_gate, shared_up, shared_down;

  moe_source() = default;
  moe_source(D const& d, layer_tensors const& t)
      : router(d, {t.router}),
        bias(t.router_bias != nullptr ? make_vector(d, *t.router_bias) : vector<D>()),
        gate(d, t.mlp.gate),
        up(d, t.mlp.up),
        down(d, t.mlp.down),
        shared_gate(d, t.shared.gate),
        shared_up(d, t.shared.up),
        shared_down(d, t.shared.down) {}

  moesaic::layer_weights<L> weights() const {
    return {.router = router.weights(),
            .bias = bias.data(),
            .gate = gate.weights(),
            .up = up.weights(),
            .down = down.weights(),
            .shared_gate = shared_gate.weights(),
            .shared_up = shared_up.weights(),
            .shared_down = shared_down.weights()};
  }
};

template <class D, class Model>
class moe_mlp {
  using layer = typename moe_layer_of<Model>::type;

 public:
  moe_mlp(D const& d, layer_tensors const& t) : packed_(make_bytes(d, moesaic::prepared_bytes<layer>(d.ctx))) {
    moe_source<D, layer> from(d, t);
    must(moesaic::prepare<layer>(d.ctx, from.weights(), memory_of(packed_), prepared_));
    from_ = kept<D, moe_source<D, layer>>(std::move(from));
  }

  static std::size_t workspace_bytes(D const& d, std::int64_t tokens) { return moesaic::workspace_bytes<layer>(d.ctx, tokens); }

  /// h += MoE(x), with the experts of each token written to `choice`.
  void operator()(D const& d, matrix<D> const& x, matrix<D> const& h, moesaic::topk_choice choice, bytes<D> const& workspace) const {
    must(moesaic::forward<layer>(d.ctx, x.view(), prepared_, h.view(), memory_of(workspace), {.choice = choice, .residual = h.view()}));
  }

 private:
  kept<D, moe_source<D, layer>> from_;
  bytes<D> packed_;
  moesaic::prepared_weights<typename D::context, layer> prepared_{};
};

}  // namespace deepseek_v3
