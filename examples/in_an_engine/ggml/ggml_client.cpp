// The operator in a graph of ggml, beside the same layer made of ggml's own operators.
#include <ggml-cpu.h>
#include <ggml.h>

#include <cmath>
#include <cstdio>
#include <cstring>

#include "layer_data.hpp"

int main() {
  constexpr int H = moe::layer_data::H, I = moe::layer_data::I, E = moe::layer_data::E, T = moe::layer_data::T, K = 2;
  moe::layer_data d;
  moe::operator_data op;
  moesaic::status const s = op.alone([&](auto const& b) { return d.load(b, op.weights, op.workspace); });
  if (!s) return std::puts(moesaic::describe(s).c_str()), 1;

  ggml_context* const c = ggml_init({.mem_size = 16 << 20, .mem_buffer = nullptr, .no_alloc = false});
  auto const tensor = [&](std::vector<float> const& v, int n0, int n1, int n2) {
    ggml_tensor* const t = ggml_new_tensor_3d(c, GGML_TYPE_F32, n0, n1, n2);
    std::memcpy(t->data, v.data(), v.size() * sizeof(float));
    return t;
  };
  ggml_tensor* x = tensor(d.x, H, T, 1);

  // moesaic's: one node.
  ggml_tensor* const ours = ggml_custom_4d(c, GGML_TYPE_F32, H, T, 1, 1, &x, 1, moe::operation<ggml_tensor>, GGML_N_TASKS_MAX, &op);

  // ggml's: a dozen.
  ggml_tensor* const p = ggml_soft_max(c, ggml_mul_mat(c, tensor(d.router, H, E, 1), x));
  ggml_tensor* const ids = ggml_argsort_top_k(c, p, K);
  ggml_tensor* w = ggml_reshape_2d(c, ggml_get_rows(c, ggml_reshape_3d(c, p, 1, E, T), ids), K, T);
  w = ggml_reshape_3d(c, ggml_div(c, w, ggml_sum_rows(c, w)), 1, K, T);
  ggml_tensor* const x3 = ggml_reshape_3d(c, x, H, 1, T);
  ggml_tensor* const h =
      ggml_swiglu_split(c, ggml_mul_mat_id(c, tensor(d.gate, H, I, E), x3, ids), ggml_mul_mat_id(c, tensor(d.up, H, I, E), x3, ids));
  ggml_tensor* const o = ggml_mul(c, ggml_mul_mat_id(c, tensor(d.down, I, H, E), h, ids), w);
  ggml_tensor* const theirs = ggml_add(c, ggml_view_2d(c, o, H, T, o->nb[2], 0), ggml_view_2d(c, o, H, T, o->nb[2], o->nb[1]));

  ggml_cgraph* const graph = ggml_new_graph(c);
  ggml_build_forward_expand(graph, ours);
  ggml_build_forward_expand(graph, theirs);
  bool right = true;
  std::vector<float> first(T * H);
  for (int const threads : {1, 2, 3}) {
    ggml_graph_compute_with_ctx(c, graph, threads);
    auto const *const a = static_cast<float const*>(ours->data), *const b = static_cast<float const*>(theirs->data);
    if (threads == 1) std::copy(a, a + T * H, first.begin());
    float worst = 0;
    for (int i = 0; i < T * H; ++i) worst = std::max(worst, std::fabs(a[i] - b[i]));
    bool const same_bits = std::memcmp(a, first.data(), T * H * sizeof(float)) == 0, close = op.said && worst < 1e-5F;
    std::printf("threads %d: %s, %s\n", threads, close ? "ggml's own operators agree to within 1e-5" : "ggml's own operators do NOT agree",
                same_bits ? "the same bits as on one thread" : "OTHER bits");
    right = right && close && same_bits;
  }
  ggml_free(c);
  return right ? 0 : 1;
}
