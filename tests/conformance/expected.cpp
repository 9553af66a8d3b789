#include "expected.hpp"

#include <cstdlib>
#include <moesaic/moesaic.hpp>
#include <utility>

#include "configurations.hpp"

namespace conformance::expected {

namespace {

using namespace moesaic;

reference::on const serial;

void need(status const& s) {
  if (!s) std::abort();
}

using route_function = status (*)(float const*, float const*, std::int64_t, topk_choice);
template <int... I>
constexpr auto all_routes(std::integer_sequence<int, I...>) {
  struct {
    route_function of[sizeof...(I)];
  } table{{+[](float const* logits, float const* bias, std::int64_t tokens, topk_choice out) {
    constexpr moe_config c = router_layer<I>::config;
    return route_from_logits<router_layer<I>>(serial, {logits, tokens, c.experts}, c.bias ? bias : nullptr, out);
  }...}};
  return table;
}

template <class F>
void with_matrix(matrix const& x, F const& f) {
  switch (x.type) {
    case element::f32: return f(matrix_view(static_cast<float const*>(x.data), x.rows, x.cols, x.stride));
    case element::bf16: return f(matrix_view(static_cast<bf16 const*>(x.data), x.rows, x.cols, x.stride));
    case element::fp16: return f(matrix_view(static_cast<fp16 const*>(x.data), x.rows, x.cols, x.stride));
  }
}

template <class F>
void with_scales(bool ue8m0, std::uint8_t* codes, void* scales, std::int64_t rows, std::int64_t cols, F const& f) {
  if (ue8m0)
    f(quantized_rows(codes, static_cast<std::uint8_t*>(scales), rows, cols));
  else
    f(quantized_rows(codes, static_cast<float*>(scales), rows, cols));
}

}  // namespace

void route(int router, float const* logits, float const* bias, std::int64_t tokens, std::int32_t* ids, float* weights) {
  static constexpr auto routes = all_routes(std::make_integer_sequence<int, router_count>{});
  need(routes.of[router](logits, bias, tokens, {ids, weights, tokens, routers[router].top_k}));
}

void dispatch_map(std::int32_t const* ids, std::int64_t tokens, int top_k, int experts, std::int32_t* expert_offsets,
                  std::int32_t* row_to_slot, std::int32_t* slot_to_row) {
  need(make_dispatch_map(serial, {const_cast<std::int32_t*>(ids), nullptr, tokens, top_k},
                         {expert_offsets, row_to_slot, slot_to_row, tokens, top_k, experts}));
}

void quantize(matrix x, bool ue8m0, std::uint8_t* codes, void* scales) {
  with_matrix(x, [&](auto view) {
    with_scales(ue8m0, codes, scales, x.rows, x.cols, [&](auto out) { need(moesaic::quantize(serial, view, out)); });
  });
}

void activation(element format, float const* gate, float const* up, std::int64_t rows, std::int64_t cols, float* out) {
  matrix_view<float const> const g(gate, rows, cols), u(up, rows, cols);
  matrix_view<float> const to(out, rows, cols);
  switch (format) {
    case element::f32: return need(moesaic::activation(serial, g, u, to));
    case element::bf16: return need(moesaic::activation<activation_format::bf16>(serial, g, u, to));
    case element::fp16: return need(moesaic::activation<activation_format::fp16>(serial, g, u, to));
  }
}

void activation_quantized(float const* gate, float const* up, std::int64_t rows, std::int64_t cols, bool ue8m0, std::uint8_t* codes,
                          void* scales) {
  matrix_view<float const> const g(gate, rows, cols), u(up, rows, cols);
  with_scales(ue8m0, codes, scales, rows, cols, [&](auto out) { need(moesaic::activation(serial, g, u, out)); });
}

}  // namespace conformance::expected
