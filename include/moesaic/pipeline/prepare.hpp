// Weights as a checkpoint stores them → weights as a backend reads them. Once per load, in the caller's memory.
#pragma once

#include <cstddef>

#include <moesaic/config/weights.hpp>
#include <moesaic/pipeline/arena.hpp>
#include <moesaic/pipeline/backend.hpp>
#include <moesaic/pipeline/check.hpp>

namespace moesaic::inline MOESAIC_ABI {

/// One layer's weights in backend B's layout. The correction bias is copied along. Whether the rest of the source must stay alive is the
/// backend's to say: cpu and kokkos on host spaces copy, reference and kokkos elsewhere keep views.
template <class B, class L>
struct prepared_weights {
  typename B::template prepared_matrices<L::policy.router> router{};
  float const* bias = nullptr;
  typename B::template prepared_matrices<L::policy.weights> gate{}, up{}, down{};
  typename B::template prepared_matrices<L::policy.weights> shared_gate{}, shared_up{}, shared_down{};
};

namespace detail {

struct copy_f32 {
  struct scratch {};
  float const* from;
  float* to;
  int count;
  template <group G>
  MOESAIC_HD void operator()(G const& g, std::int64_t, scratch&) const {
    float const* const in = from;
    float* const out = to;
    g.for_each(count, [=](int i) { out[i] = in[i]; });
  }
};

/// Weight shapes of layer L without addresses: enough to ask a backend for sizes.
template <class L>
constexpr layer_weights<L> shapes_of() {
  constexpr moe_config c = L::config;
  layer_weights<L> w;
  w.router = {1, c.experts, c.hidden, {}, {}};
  w.gate = w.up = {c.experts, c.inter, c.hidden, {}, {}};
  w.down = {c.experts, c.hidden, c.inter, {}, {}};
  if (c.shared_inter > 0) {
    w.shared_gate = w.shared_up = {1, c.shared_inter, c.hidden, {}, {}};
    w.shared_down = {1, c.hidden, c.shared_inter, {}, {}};
  }
  return w;
}

}  // namespace detail

namespace check {

/// A layer's prepared weights have the layer's shapes, which no others than those that prepare<L>() has filled do.
template <class B, class L>
status prepared_router(prepared_weights<B, L> const& w) {
  constexpr moe_config c = L::config;
  return first_error(prepared("weights.router", w.router, 1, c.experts, c.hidden),
                     not_null("weights", "bias", c.bias && w.bias == nullptr));
}
template <class B, class L>
status prepared_layer(prepared_weights<B, L> const& w) {
  constexpr moe_config c = L::config;
  constexpr int shared = c.shared_inter > 0 ? 1 : 0;
  return first_error(prepared_router(w), prepared("weights.gate", w.gate, c.experts, c.inter, c.hidden),
                     prepared("weights.up", w.up, c.experts, c.inter, c.hidden),
                     prepared("weights.down", w.down, c.experts, c.hidden, c.inter),
                     prepared("weights.shared_gate", w.shared_gate, shared, c.shared_inter, shared * c.hidden),
                     prepared("weights.shared_up", w.shared_up, shared, c.shared_inter, shared * c.hidden),
                     prepared("weights.shared_down", w.shared_down, shared, shared * c.hidden, c.shared_inter));
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
  layer_weights<L> const w = detail::shapes_of<L>();
  arena a;
  for (std::size_t const bytes :
       {ctx.prepared_bytes(w.router), ctx.prepared_bytes(w.gate), ctx.prepared_bytes(w.up), ctx.prepared_bytes(w.down),
        ctx.prepared_bytes(w.shared_gate), ctx.prepared_bytes(w.shared_up), ctx.prepared_bytes(w.shared_down)})
    a.take<std::byte>(static_cast<std::int64_t>(bytes));
  if (L::config.bias) a.take<float>(L::config.experts);
  return a.used();
}

/// Checks and prepares all weights of layer L into `to` (64-byte aligned, prepared_bytes<L>(ctx) bytes).
template <class L, backend B>
status prepare(B const& ctx, layer_weights<L> const& weights, memory to, prepared_weights<B, L>& out) {
  constexpr moe_config c = L::config;
  constexpr int shared = c.shared_inter > 0 ? 1 : 0;
  constexpr int shared_hidden = shared * c.hidden;
  if (status const s = check::first_error(check::weights("weights.router", weights.router, 1, c.experts, c.hidden),
                                          check::not_null("weights", "bias", c.bias && weights.bias == nullptr),
                                          check::weights("weights.gate", weights.gate, c.experts, c.inter, c.hidden),
                                          check::weights("weights.up", weights.up, c.experts, c.inter, c.hidden),
                                          check::weights("weights.down", weights.down, c.experts, c.hidden, c.inter),
                                          check::weights("weights.shared_gate", weights.shared_gate, shared, c.shared_inter, shared_hidden),
                                          check::weights("weights.shared_up", weights.shared_up, shared, c.shared_inter, shared_hidden),
                                          check::weights("weights.shared_down", weights.shared_down, shared, shared_hidden, c.shared_inter),
                                          check::caller_memory("to", to, prepared_bytes<L>(ctx)));
      !s)
    return s;

  arena a(to);
  auto one = [&](auto const& from, auto& prepared) {
    std::size_t const bytes = ctx.prepared_bytes(from);
    return ctx.prepare(from, memory{a.take<std::byte>(static_cast<std::int64_t>(bytes)), bytes}, prepared);
  };
  if (status const s = one(weights.router, out.router); !s) return s;
  if (status const s = one(weights.gate, out.gate); !s) return s;
  if (status const s = one(weights.up, out.up); !s) return s;
  if (status const s = one(weights.down, out.down); !s) return s;
  if (status const s = one(weights.shared_gate, out.shared_gate); !s) return s;
  if (status const s = one(weights.shared_up, out.shared_up); !s) return s;
  if (status const s = one(weights.shared_down, out.shared_down); !s) return s;
  if constexpr (c.bias) {
    float* const bias = a.take<float>(c.experts);
    out.bias = bias;
    return ctx.launch(1, detail::copy_f32{weights.bias, bias, c.experts});
  }
  return {};
}

}  // namespace moesaic::inline MOESAIC_ABI
