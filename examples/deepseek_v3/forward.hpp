// The compiled model's forward pass behind plain types: on_kokkos.cpp and on_cuda.cu alone know the model's type and how it is run.
#pragma once

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "checkpoint.hpp"
#include "model_config.hpp"
#include "model_tensors.hpp"

namespace deepseek_v3 {

struct stage_time {
  std::string stage;
  double seconds;
};

/// What one prefill pass gives.
struct forward_result {
  std::int64_t tokens, vocab_size, moe_layers, top_k;
  std::vector<float> logits;          // [tokens, vocab_size]
  std::vector<std::int32_t> experts;  // [moe_layers, tokens, top_k], best first
  std::vector<float> expert_weights;  // the same shape
  std::vector<stage_time> timings;    // wall time, summed over layers; "load" is reading, checking and packing or copying weights
  std::uint64_t weight_bytes;         // read from the checkpoint

  float const* logits_of(std::int64_t token) const { return logits.data() + token * vocab_size; }
  std::int64_t argmax(std::int64_t token) const { return std::max_element(logits_of(token), logits_of(token + 1)) - logits_of(token); }
};

/// The model that this program was compiled for.
model_config const& compiled_model();

/// Something that the model runs on: the host's processors or a GPU. The program holds both; of one that it was built without, only
/// why_not.
struct backend {
  bool built_in;
  std::string (*why_not)();  // one line: why this machine cannot run it; empty if it can

  /// A prefill pass over `tokens` (ids in [0, vocab_size), at least one) on `threads` threads of the host, 0 for all. The result does not
  /// depend on the number of threads. Throws input_error where a tensor holds what no weight is.
  forward_result (*run)(model_tensors const& tensors, std::vector<int> const& tokens, int threads);
};
extern backend const on_kokkos, on_cuda;

/// A backend that cannot run here. what() is one line.
struct backend_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace deepseek_v3
