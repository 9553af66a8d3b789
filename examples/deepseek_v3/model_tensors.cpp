#include "model_tensors.hpp"

#include <cstdint>
#include <moesaic/config/weights.hpp>
#include <string>

namespace deepseek_v3 {
namespace {

class finder {
 public:
  finder(checkpoint const& files, model_config const& model) : files_(files), c_(model) {}

  model_tensors all() {
    model_tensors m;
    m.embedding = plain("model.embed_tokens.weight", {c_.vocab_size, c_.hidden_size});
    bytes_ = 0;
    for (int l = 0; l < c_.num_hidden_layers; ++l) m.layers.push_back(layer(l));
    m.norm = vector("model.norm.weight", c_.hidden_size);
    m.head.codes = plain(c_.tie_word_embeddings ? "model.embed_tokens.weight" : "lm_head.weight", {c_.vocab_size, c_.hidden_size});
    m.bytes = bytes_;
    for (int l = 0; l < c_.num_nextn_predict_layers; ++l) check_prediction_layer(c_.num_hidden_layers + l);
    return m;
  }

 private:
  tensor const* find(std::string const& name, dtype type, std::initializer_list<std::int64_t> shape) {
    tensor const& t = files_.at(name, type, shape);
    bytes_ += t.bytes;
    return &t;
  }

  /// A norm's gain or the router's bias: BF16, or F32 as some files have it. Both are widened, so neither loses anything.
  tensor const* vector(std::string const& name, std::int64_t n) {
    auto const found = files_.tensors().find(name);
    bool const wide = found != files_.tensors().end() && found->second.type == dtype::f32;
    return find(name, wide ? dtype::f32 : dtype::bf16, {n});
  }

  /// A matrix that stays unquantised in every checkpoint: the router, the embedding and the head.
  tensor const* plain(std::string const& name, std::initializer_list<std::int64_t> shape) {
    return find(name, c_.weights == moesaic::weight_format::f32 ? dtype::f32 : dtype::bf16, shape);
  }

  matrix_tensors matrix(std::string const& name, std::int64_t out, std::int64_t in) {
    std::string const weight = name + ".weight";
    if (c_.weights != moesaic::weight_format::e4m3_128x128) return {plain(weight, {out, in}), nullptr};
    // The grid is cut at ragged edges, so the block size is never to be read off it: it is 128, always.
    std::int64_t const block = moesaic::scale_block;
    return {find(weight, dtype::f8_e4m3, {out, in}),
            find(weight + "_scale_inv", dtype::f32, {moesaic::ceil_div(out, block), moesaic::ceil_div(in, block)})};
  }

  void add_mlp(std::string const& prefix, std::int64_t inter, mlp_tensors& to) {
    to.gate.push_back(matrix(prefix + "gate_proj", inter, c_.hidden_size));
    to.up.push_back(matrix(prefix + "up_proj", inter, c_.hidden_size));
    to.down.push_back(matrix(prefix + "down_proj", c_.hidden_size, inter));
  }

  attention_tensors attention(std::string const& prefix) {
    std::int64_t const heads = c_.num_attention_heads;
    std::int64_t const q_rows = heads * (std::int64_t{c_.qk_nope_head_dim} + c_.qk_rope_head_dim);
    attention_tensors a;
    if (c_.q_lora_rank > 0) {
      a.q_a = matrix(prefix + "q_a_proj", c_.q_lora_rank, c_.hidden_size);
      a.q_norm = vector(prefix + "q_a_layernorm.weight", c_.q_lora_rank);
      a.q_b = matrix(prefix + "q_b_proj", q_rows, c_.q_lora_rank);
    } else {
      a.q_b = matrix(prefix + "q_proj", q_rows, c_.hidden_size);
    }
    a.kv_a = matrix(prefix + "kv_a_proj_with_mqa", std::int64_t{c_.kv_lora_rank} + c_.qk_rope_head_dim, c_.hidden_size);
    a.kv_norm = vector(prefix + "kv_a_layernorm.weight", c_.kv_lora_rank);
    a.kv_b = matrix(prefix + "kv_b_proj", heads * (std::int64_t{c_.qk_nope_head_dim} + c_.v_head_dim), c_.kv_lora_rank);
    a.o = matrix(prefix + "o_proj", c_.hidden_size, heads * c_.v_head_dim);
    return a;
  }

  layer_tensors layer(int l) {
    std::string const prefix = "model.layers." + std::to_string(l) + ".";
    std::string const mlp = prefix + "mlp.";
    moesaic::moe_config const& moe = c_.moe;
    layer_tensors t;
    t.attention_norm = vector(prefix + "input_layernorm.weight", c_.hidden_size);
    t.attention = attention(prefix + "self_attn.");
    t.mlp_norm = vector(prefix + "post_attention_layernorm.weight", c_.hidden_size);
    if (!c_.is_moe_layer(l)) {
      add_mlp(mlp, c_.intermediate_size, t.mlp);
      return t;
    }
    t.router.codes = plain(mlp + "gate.weight", {moe.experts, c_.hidden_size});
    if (moe.bias) t.router_bias = vector(mlp + "gate.e_score_correction_bias", moe.experts);
    for (int e = 0; e < moe.experts; ++e) add_mlp(mlp + "experts." + std::to_string(e) + ".", moe.inter, t.mlp);
    if (moe.shared_inter > 0) add_mlp(mlp + "shared_experts.", moe.shared_inter, t.shared);
    return t;
  }

  /// A whole layer and four tensors of its own. Copies of the embedding and the head may stand beside them.
  void check_prediction_layer(int l) {
    layer(l);
    std::string const prefix = "model.layers." + std::to_string(l) + ".";
    vector(prefix + "enorm.weight", c_.hidden_size);
    vector(prefix + "hnorm.weight", c_.hidden_size);
    plain(prefix + "eh_proj.weight", {c_.hidden_size, 2 * std::int64_t{c_.hidden_size}});
    vector(prefix + "shared_head.norm.weight", c_.hidden_size);
    for (char const* const copy : {"embed_tokens.weight", "shared_head.head.weight"})
      if (files_.has(prefix + copy)) plain(prefix + copy, {c_.vocab_size, c_.hidden_size});
  }

  checkpoint const& files_;
  model_config const& c_;
  std::uint64_t bytes_ = 0;
};

}  // namespace

model_tensors find_tensors(checkpoint const& files, model_config const& model) { return finder(files, model).all(); }

}  // namespace deepseek_v3
