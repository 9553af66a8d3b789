// The model on a GPU.
#include "cuda_device.hpp"
#include "forward.hpp"
#include "prefill.hpp"
#include MOESAIC_DEEPSEEK_MODEL_HEADER

namespace deepseek_v3 {
namespace {

std::string why_not() {
  moesaic::status const s = moesaic::cuda::runs_on_this_device();
  if (s) return {};
  return std::string("this machine has no GPU that the program can run on: ") + ::cudaGetErrorString(static_cast<cudaError_t>(s.value));
}

forward_result run(model_tensors const& tensors, std::vector<int> const& tokens, int threads) {
  cuda_device const d(threads);
  return prefill<cuda_device, model>(d, tensors, tokens).run();
}

}  // namespace

backend const on_cuda{true, why_not, run};

}  // namespace deepseek_v3
