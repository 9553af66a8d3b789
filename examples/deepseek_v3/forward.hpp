// The compiled model's forward pass behind plain types: forward.cpp alone knows the model, Kokkos and moesaic.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint.hpp"
#include "model_config.hpp"

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
  std::vector<stage_time> timings;    // wall time, summed over layers; "load" is reading, checking and packing weights
  std::uint64_t weight_bytes;         // read from the checkpoint

  float const* logits_of(std::int64_t token) const { return logits.data() + token * vocab_size; }
  std::int64_t argmax(std::int64_t token) const { return std::max_element(logits_of(token), logits_of(token + 1)) - logits_of(token); }
};

/// The model that this program was compiled for.
model_config const& compiled_model();

/// A prefill pass over `tokens` (ids in [0, vocab_size), at least one) on `threads` threads, 0 for all. The result does not depend on the
/// number of threads. All tensors are looked up, with their dtypes and shapes, before anything is computed; throws input_error. Starts and
/// ends Kokkos, which a process can do only once.
forward_result run(checkpoint const& files, std::vector<int> const& tokens, int threads);

}  // namespace deepseek_v3
