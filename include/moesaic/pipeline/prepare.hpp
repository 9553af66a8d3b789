// Weights as a checkpoint stores them → weights as a backend reads them. Once per load, in the caller's memory.
#pragma once

#include <cstddef>

#include <moesaic/config/weights.hpp>
#include <moesaic/pipeline/arena.hpp>
#include <moesaic/pipeline/backend.hpp>
#include <moesaic/pipeline/check.hpp>

namespace moesaic::inline MOESAIC_ABI {

/// One layer's weights in backend B's layout. Biases are copied along. Whether the rest of the source must stay alive is the
/// backend's to say: cpu and kokkos on host spaces copy (unless their tuning has `packs` false), reference and kokkos elsewhere keep views.
template <class B, class L>
struct prepared_weights {
  typename B::template prepared_matrices<L::policy.router> router{};
  float const* bias = nullptr;        ///< [E+Z]
  float const* logit_bias = nullptr;  ///< [E+Z]
  typename B::template prepared_matrices<L::policy.weights> gate{}, up{}, down{};
  float const* gate_bias = nullptr;  ///< [E, I]
  float const* up_bias = nullptr;    ///< [E, I]
  float const* down_bias = nullptr;  ///< [E, H]
  typename B::template prepared_matrices<L::policy.weights> shared_gate{}, shared_up{}, shared_down{};
  typename B::template prepared_matrices<L::policy.router> shared_token_gate{};
};

namespace detail {

/// Row e of `to` [rows, count] = from[e].
struct copy_f32 {
  struct scratch {};
  expert_array<float> from;
  float* to;
  int count;
  template <group G>
  MOESAIC_HD void operator()(G const& g, std::int64_t e, scratch&) const {
    float const* const in = from[e];
    float* const out = to + e * count;
    g.for_each(count, [=](int i) { out[i] = in[i]; });
  }
};

/// Weight shapes of layer L without addresses: enough to ask a backend for sizes.
template <class L>
constexpr layer_weights<L> shapes_of() {
  constexpr moe_config c = L::config;
  layer_weights<L> w;
  w.router = {1, c.choices(), c.hidden};
  w.up = {c.experts, c.inter, c.hidden};
  w.down = {c.experts, c.hidden, c.inter};
  if (is_gated(c.act)) w.gate = w.up;
  if (c.shared_inter > 0) {
    w.shared_up = {1, c.shared_inter, c.hidden};
    w.shared_down = {1, c.hidden, c.shared_inter};
    if (is_gated(c.act)) w.shared_gate = w.shared_up;
  }
  if (c.shared_gated) w.shared_token_gate = {1, 1, c.hidden};
  return w;
}

/// f(name, weights, their shape, prepared) for each matrix of the layer.
template <class L, class B, class F>
status for_each_matrix(layer_weights<L> const& from, prepared_weights<B, L>& to, F const& f) {
  layer_weights<L> const shape = shapes_of<L>();
  if (status const s = f("weights.router", from.router, shape.router, to.router); !s) return s;
  if (status const s = f("weights.gate", from.gate, shape.gate, to.gate); !s) return s;
  if (status const s = f("weights.up", from.up, shape.up, to.up); !s) return s;
  if (status const s = f("weights.down", from.down, shape.down, to.down); !s) return s;
  if (status const s = f("weights.shared_gate", from.shared_gate, shape.shared_gate, to.shared_gate); !s) return s;
  if (status const s = f("weights.shared_up", from.shared_up, shape.shared_up, to.shared_up); !s) return s;
  if (status const s = f("weights.shared_down", from.shared_down, shape.shared_down, to.shared_down); !s) return s;
  return f("weights.shared_token_gate", from.shared_token_gate, shape.shared_token_gate, to.shared_token_gate);
}

/// f(name, whether the model has it, biases, rows, columns, prepared) for each bias of the layer.
template <class L, class B, class F>
status for_each_bias(layer_weights<L> const& from, prepared_weights<B, L>& to, F const& f) {
  constexpr moe_config c = L::config;
  if (status const s = f("bias", c.bias, expert_array<float>{from.bias}, 1, c.choices(), to.bias); !s) return s;
  if (status const s = f("logit_bias", c.logit_bias, expert_array<float>{from.logit_bias}, 1, c.choices(), to.logit_bias); !s) return s;
  if (status const s = f("gate_bias", c.expert_bias && is_gated(c.act), from.gate_bias, c.experts, c.inter, to.gate_bias); !s) return s;
  if (status const s = f("up_bias", c.expert_bias, from.up_bias, c.experts, c.inter, to.up_bias); !s) return s;
  return f("down_bias", c.expert_bias, from.down_bias, c.experts, c.hidden, to.down_bias);
}

}  // namespace detail

namespace check {

template <class B, class L>
status prepared_router(prepared_weights<B, L> const& w) {
  constexpr moe_config c = L::config;
  return first_error(prepared("weights.router", w.router, 1, c.choices(), c.hidden),
                     not_null("weights", "bias", c.bias && w.bias == nullptr),
                     not_null("weights", "logit_bias", c.logit_bias && w.logit_bias == nullptr));
}
/// A layer's prepared weights have the layer's shapes, which no others than those that prepare<L>() has filled do.
template <class B, class L>
status prepared_layer(prepared_weights<B, L> const& w) {
  if (status const s = prepared_router(w); !s) return s;
  prepared_weights<B, L> have = w;  // views: the walk below wants somewhere to write
  if (status const s = detail::for_each_matrix<L>({}, have,
                                                  [](char const* name, auto const&, auto const& shape, auto const& p) {
                                                    return prepared(name, p, shape.experts, shape.n, shape.k);
                                                  });
      !s)
    return s;
  return detail::for_each_bias<L>({}, have, [](char const* name, bool has, auto const&, int, int, float const* p) {
    return not_null("weights", name, has && p == nullptr);
  });
}

}  // namespace check

/// Bytes that prepare() needs for matrices of this shape.
template <backend B, weight_format F>
std::size_t prepared_bytes(B const& ctx, weight_matrices<F> const& shape) {
  return ctx.prepared_bytes(shape);
}

/// Prepares any set of equally shaped matrices: what a dense layer or an LM head takes to run through grouped_gemm.
template <backend B, weight_format F>
status prepare(B const& ctx, weight_matrices<F> const& weights, memory to, typename B::template prepared_matrices<F>& out) {
  if (status const s = check::first_error(check::weights("weights", weights, weights.experts, weights.n, weights.k),
                                          check::caller_memory("to", to, ctx.prepared_bytes(weights)));
      !s)
    return s;
  return ctx.prepare(weights, to, out);
}

/// Bytes that prepare() needs for layer L.
template <class L, backend B>
std::size_t prepared_bytes(B const& ctx) {
  arena a;
  prepared_weights<B, L> none;
  static_cast<void>(detail::for_each_matrix<L>({}, none, [&](char const*, auto const&, auto const& shape, auto const&) {
    a.take<std::byte>(static_cast<std::int64_t>(ctx.prepared_bytes(shape)));
    return status{};
  }));
  static_cast<void>(detail::for_each_bias<L>({}, none, [&](char const*, bool has, auto const&, int rows, int cols, float const*) {
    if (has) a.take<float>(std::int64_t{rows} * cols);
    return status{};
  }));
  return a.used();
}

/// Checks and prepares all weights of layer L into `to` (64-byte aligned, prepared_bytes<L>(ctx) bytes).
template <class L, backend B>
status prepare(B const& ctx, layer_weights<L> const& weights, memory to, prepared_weights<B, L>& out) {
  if (status const s = detail::for_each_matrix<L>(weights, out,
                                                  [](char const* name, auto const& w, auto const& shape, auto const&) {
                                                    return check::weights(name, w, shape.experts, shape.n, shape.k);
                                                  });
      !s)
    return s;
  if (status const s = detail::for_each_bias<L>(weights, out,
                                                [](char const* name, bool has, auto const& b, int rows, int, float const*) {
                                                  return has ? check::biases("weights", name, b, rows) : status{};
                                                });
      !s)
    return s;
  if (status const s = check::caller_memory("to", to, prepared_bytes<L>(ctx)); !s) return s;

  arena a(to);
  if (status const s =
          detail::for_each_matrix<L>(weights, out,
                                     [&](char const*, auto const& w, auto const& shape, auto& prepared) {
                                       std::size_t const bytes = ctx.prepared_bytes(shape);
                                       return ctx.prepare(w, memory{a.take<std::byte>(static_cast<std::int64_t>(bytes)), bytes}, prepared);
                                     });
      !s)
    return s;
  return detail::for_each_bias<L>(weights, out, [&](char const*, bool has, auto const& b, int rows, int cols, float const*& prepared) {
    if (!has) return status{};
    float* const copy = a.take<float>(std::int64_t{rows} * cols);
    prepared = copy;
    return ctx.launch(rows, detail::copy_f32{b, copy, cols});
  });
}

}  // namespace moesaic::inline MOESAIC_ABI
