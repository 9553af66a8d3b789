// Any bytes as a config.json: refused with a line, or sizes and numbers that a layer can be made of.
#include <cmath>

#include "checkpoint.hpp"
#include "hf_config.hpp"
#include "target.hpp"

using namespace deepseek_v3;

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  std::string const text(reinterpret_cast<char const*>(data), size);
  hf_config c;
  try {
    c = parse_hf_config("f", text);
  } catch (input_error const& e) {
    check_refusal(e.what(), "f");
    return 0;
  }
  model_config const& m = c.model;
  for (int const n : {m.vocab_size, m.num_hidden_layers, m.hidden_size, m.intermediate_size, m.num_attention_heads, m.kv_lora_rank,
                      m.qk_nope_head_dim, m.qk_rope_head_dim, m.v_head_dim, m.moe_layer_freq})
    always(n >= 1, "what is counted is there");
  for (int const n : {m.first_k_dense_replace, m.q_lora_rank, m.num_nextn_predict_layers})
    always(n >= 0, "what may be absent is not negative");
  always(m.qk_rope_head_dim % 2 == 0, "rope channels come in pairs");

  // What moesaic's concepts ask of a model.
  moesaic::moe_config const& moe = m.moe;
  always(moe.hidden == m.hidden_size && moe.hidden % 8 == 0 && moe.inter >= 8 && moe.inter % 8 == 0, "widths are positive multiples of 8");
  always(moe.shared_inter >= 0 && moe.shared_inter % moe.inter == 0, "shared experts have whole widths");
  always(moe.experts >= 1 && moe.n_group >= 1 && moe.experts % moe.n_group == 0, "groups divide the experts");
  always(moe.topk_group >= 1 && moe.topk_group <= moe.n_group, "kept groups are some of all groups");
  always(moe.top_k >= 1 && moe.top_k <= moe.topk_group * (moe.experts / moe.n_group), "the kept groups hold top_k experts");
  always(moe.n_group == 1 || moe.group_score == moesaic::group_score_fn::max || moe.experts / moe.n_group >= 2, "a sum of two has two");

  // What the forward pass takes roots, powers and logarithms of.
  rope_config const& r = m.rope;
  for (double const x : {m.rms_norm_eps, r.theta, r.factor, r.beta_fast, r.beta_slow, r.mscale, r.mscale_all_dim, double{moe.route_scale}})
    always(std::isfinite(x), "numbers are finite");
  always(m.rms_norm_eps >= 0, "a norm's epsilon is not negative");
  always(r.theta > 0 && (r.factor == 0 || r.factor >= 1) && r.original_length >= 1, "rope has a base and a factor");
  always(r.factor == 0 || (r.beta_fast > 0 && r.beta_slow > 0), "yarn's betas have logarithms");

  always(differences(m, c).empty(), "a model does not differ from itself");
  return 0;
}
