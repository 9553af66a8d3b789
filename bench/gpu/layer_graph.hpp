// A stream's work as a graph: captured once, replayed, its kernels counted.
#pragma once

#include <utility>
#include <vector>

#include "device.hpp"

namespace gpu {

class graph {
 public:
  /// f() enqueues on s.
  template <std::invocable F>
  graph(cudaStream_t s, F const& f) {
    cudaGraph_t captured = nullptr;
    ok(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal));
    try {
      f();
    } catch (...) {
      cudaStreamEndCapture(s, &captured);
      if (captured != nullptr) cudaGraphDestroy(captured);
      throw;
    }
    ok(cudaStreamEndCapture(s, &captured));
    std::size_t count = 0;
    ok(cudaGraphGetNodes(captured, nullptr, &count));
    std::vector<cudaGraphNode_t> nodes(count);
    ok(cudaGraphGetNodes(captured, nodes.data(), &count));
    for (cudaGraphNode_t const node : nodes) {
      cudaGraphNodeType type{};
      ok(cudaGraphNodeGetType(node, &type));
      (type == cudaGraphNodeTypeKernel ? kernels_ : others_) += 1;
    }
    cudaError_t const made = cudaGraphInstantiate(&executable_, captured, 0);
    cudaGraphDestroy(captured);
    ok(made);
  }
  graph(graph const&) = delete;
  graph(graph&& other) noexcept
      : executable_(std::exchange(other.executable_, nullptr)), kernels_(other.kernels_), others_(other.others_) {}
  ~graph() {
    if (executable_ != nullptr) cudaGraphExecDestroy(executable_);
  }

  void launch(cudaStream_t s) const { ok(cudaGraphLaunch(executable_, s)); }
  int kernels() const { return kernels_; }
  int others() const { return others_; }

 private:
  cudaGraphExec_t executable_ = nullptr;
  int kernels_ = 0, others_ = 0;
};

}  // namespace gpu
