// What docs/cuda.md shows, with names that a program would give: compiled here, called by usage_test.cu.
#pragma once

// [moe]
#include <moesaic/cuda.hpp>

// The model's numbers, and how rows travel between the GEMMs: quantised to E4M3, which is what Hopper's kernels multiply.
struct my_model {
  static constexpr moesaic::moe_config config{
      .hidden = 512, .inter = 256, .experts = 32, .top_k = 4, .norm = moesaic::norm_fn::sum, .shared_inter = 256};
};
using layer = moesaic::layer<my_model, moesaic::policies::fp8_w8a8>;
using backend = moesaic::cuda::on<moesaic::tune::sm90a>;  // backend ctx{stream, {}}; for any GPU: cuda::on<>, cuda::on ctx{stream}
using my_weights = moesaic::prepared_weights<backend, layer>;

/// Once per load. `packed`: prepared_bytes<layer>(ctx) bytes of device memory, alive as long as the checkpoint's tensors, which stay there.
moesaic::status load(backend ctx, moesaic::layer_weights<layer> const& checkpoint, moesaic::memory packed, my_weights& weights) {
  if (auto s = moesaic::cuda::runs_on_this_device(); !s) return s;  // no GPU, or no code for it in this program
  return moesaic::prepare<layer>(ctx, checkpoint, packed, weights);
}

/// Enqueued on the stream when it returns. `workspace`: workspace_bytes<layer>(ctx, most tokens) bytes of device memory.
moesaic::status moe(backend ctx, my_weights const& weights, moesaic::memory workspace, moesaic::matrix_view<moesaic::bf16 const> x,
                    moesaic::matrix_view<moesaic::bf16> y) {
  return moesaic::forward<layer>(ctx, x, weights, y, workspace, {.residual = x});
}
// [moe]

// [graph]
/// Captures what `enqueue` puts on the stream. What it was given as pointers is read again at each replay, numbers are not.
template <class Enqueue>
moesaic::status capture(cudaStream_t stream, Enqueue const& enqueue, cudaGraphExec_t& replayable) {
  using moesaic::cuda::status_of;
  if (auto s = status_of(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), "capture"); !s) return s;
  moesaic::status const said = enqueue();
  cudaGraph_t graph = nullptr;
  moesaic::status const ended = status_of(cudaStreamEndCapture(stream, &graph), "capture");  // whatever was said
  if (!said) return said;
  if (!ended) return ended;
  moesaic::status const made = status_of(cudaGraphInstantiate(&replayable, graph, 0), "graph");
  static_cast<void>(cudaGraphDestroy(graph));
  return made;
}
// [graph]

// [exact]
/// SwiGLU between the wgmma GEMMs by num/exp.hpp, as on every other backend. The context is cuda::on{stream, exact{}}.
struct exact : moesaic::tune::sm90a {
  static constexpr bool fast_activation = false;
};
// [exact]
