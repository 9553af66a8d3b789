// The tensors of a checkpoint in the places where the model uses them. Finding them is the check that the checkpoint is complete.
#pragma once

#include <cstdint>
#include <vector>

#include "checkpoint.hpp"
#include "model_config.hpp"

namespace deepseek_v3 {

/// One weight matrix [out, in]: y = x Wᵀ. `scales` is null unless the matrix is quantised.
struct matrix_tensors {
  tensor const* codes = nullptr;
  tensor const* scales = nullptr;
};

struct attention_tensors {
  matrix_tensors q_a;              // absent if q_lora_rank is 0 …
  tensor const* q_norm = nullptr;  // … and so is its norm
  matrix_tensors q_b;              // q_b_proj, or q_proj
  matrix_tensors kv_a;
  tensor const* kv_norm;
  matrix_tensors kv_b, o;
};

/// The same matrix of every expert stands together; a dense MLP and a shared expert have one of each.
struct mlp_tensors {
  std::vector<matrix_tensors> gate, up, down;
};

struct layer_tensors {
  tensor const* attention_norm;
  attention_tensors attention;
  tensor const* mlp_norm;
  mlp_tensors mlp;  // of the dense layer, or of the routed experts
  mlp_tensors shared;
  matrix_tensors router;
  tensor const* router_bias = nullptr;
};

struct model_tensors {
  tensor const* embedding;
  std::vector<layer_tensors> layers;
  tensor const* norm;
  matrix_tensors head;
  std::uint64_t bytes;  // of everything above but the embedding, of which a pass reads only its tokens' rows
};

/// Every tensor that `model` needs. The layers for multi-token prediction are checked too, but not returned: a prefill pass has no use for
/// them. Throws input_error at the first that is missing or has another dtype or shape.
model_tensors find_tensors(checkpoint const& files, model_config const& model);

}  // namespace deepseek_v3
