#include "hf_config.hpp"

#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <nlohmann/json.hpp>

#include "checkpoint.hpp"
#include "strict_json.hpp"

namespace deepseek_v3 {
namespace {

using nlohmann::json;

/// Access to one JSON object whose errors name file, key and value.
class section {
 public:
  section(std::string file, json const& j, std::string prefix = "") : file_(std::move(file)), j_(j), prefix_(std::move(prefix)) {}

  bool has(char const* key) const { return j_.contains(key) && !j_[key].is_null(); }
  json const& value(char const* key) const { return j_[key]; }
  section inside(char const* key) const {
    if (!j_[key].is_object()) refuse(key, "is not an object");
    return {file_, j_[key], prefix_ + key + "."};
  }

  int integer(char const* key) const {
    require(key);
    json const& v = j_[key];
    if (!v.is_number_integer() || v < 0 || v > std::numeric_limits<int>::max()) refuse(key, "is not an integer from 0 to 2147483647");
    return v.get<int>();
  }
  int integer(char const* key, int otherwise) const { return has(key) ? integer(key) : otherwise; }
  double number(char const* key, double otherwise) const {
    if (!has(key)) return otherwise;
    if (!j_[key].is_number()) refuse(key, "is not a number");
    return j_[key].get<double>();
  }
  bool boolean(char const* key, bool otherwise) const {
    if (!has(key)) return otherwise;
    if (!j_[key].is_boolean()) refuse(key, "is neither true nor false");
    return j_[key].get<bool>();
  }
  std::string text(char const* key, char const* otherwise) const {
    if (!has(key)) return otherwise;
    if (!j_[key].is_string()) refuse(key, "is not a string");
    return j_[key].get<std::string>();
  }

  void require(char const* key) const {
    if (!has(key)) throw input_error(file_ + ": key '" + prefix_ + key + "' is missing");
  }
  /// For keys whose null says that there is none, and whose silence says nothing.
  void require_mention(char const* key) const {
    if (!j_.contains(key)) require(key);
  }
  [[noreturn]] void refuse(char const* key, std::string const& why) const {
    std::string found = j_.contains(key) ? j_[key].dump() : "missing";
    if (found.size() > 80) found = found.substr(0, 77) + "...";
    throw input_error(file_ + ": key '" + prefix_ + key + "' is " + found + ", which " + why);
  }
  void only(char const* key, std::string const& found, std::initializer_list<char const*> known) const {
    for (char const* k : known)
      if (found == k) return;
    refuse(key, "this example does not implement");
  }

 private:
  std::string file_;
  json const& j_;
  std::string prefix_;
};

rope_config read_rope(section const& top) {
  rope_config r;
  bool const new_spelling = top.has("rope_parameters");
  char const* const key = new_spelling ? "rope_parameters" : "rope_scaling";
  auto read_theta = [&r](section const& from) {
    r.theta = from.number("rope_theta", r.theta);
    if (!(r.theta > 0)) from.refuse("rope_theta", "is not above 0");
  };
  read_theta(top);
  if (!top.has(key)) return r;
  section const s = top.inside(key);
  read_theta(s);
  char const* const type = s.has("rope_type") ? "rope_type" : "type";
  std::string const kind = s.text(type, "default");
  s.only(type, kind, {"default", "yarn"});
  if (kind == "default") return r;
  s.require("factor");
  r.factor = s.number("factor", 0);
  r.original_length = s.integer("original_max_position_embeddings");
  r.beta_fast = s.number("beta_fast", r.beta_fast);
  r.beta_slow = s.number("beta_slow", r.beta_slow);
  // Without both, transformers scales cos and sin by 0.1 ln(factor) + 1 and leaves the softmax alone: another rule, that no model here
  // uses.
  s.require("mscale");
  s.require("mscale_all_dim");
  r.mscale = s.number("mscale", 1);
  r.mscale_all_dim = s.number("mscale_all_dim", 1);
  if (s.has("attention_factor")) s.refuse("attention_factor", "this example does not implement");
  if (!(r.factor >= 1)) s.refuse("factor", "is below 1");
  if (!(r.beta_fast > 0)) s.refuse("beta_fast", "is not above 0");
  if (!(r.beta_slow > 0)) s.refuse("beta_slow", "is not above 0");
  if (r.original_length < 1) s.refuse("original_max_position_embeddings", "is below 1");
  return r;
}

moesaic::weight_format read_weight_format(section const& top) {
  if (top.has("quantization_config")) {
    section const q = top.inside("quantization_config");
    q.only("quant_method", q.text("quant_method", ""), {"fp8"});
    q.only("fmt", q.text("fmt", "e4m3"), {"e4m3"});
    // Never inferred from the shape of a scale grid: at ragged edges that gives another number.
    q.require("weight_block_size");
    if (q.value("weight_block_size") != json{128, 128}) q.refuse("weight_block_size", "is not [128, 128]");
    return moesaic::weight_format::e4m3_128x128;
  }
  char const* const key = top.has("dtype") ? "dtype" : "torch_dtype";
  std::string const name = top.text(key, "bfloat16");
  top.only(key, name, {"bfloat16", "float32"});
  return name == "float32" ? moesaic::weight_format::f32 : moesaic::weight_format::bf16;
}

moesaic::moe_config read_moe(section const& top, bool v3) {
  moesaic::moe_config m{};
  m.hidden = top.integer("hidden_size");
  m.inter = top.integer("moe_intermediate_size");
  m.experts = top.integer("n_routed_experts");
  m.top_k = top.integer("num_experts_per_tok");
  top.require_mention("n_shared_experts");
  std::int64_t const shared_inter = std::int64_t{top.integer("n_shared_experts", 0)} * m.inter;
  if (shared_inter > std::numeric_limits<int>::max()) top.refuse("n_shared_experts", "makes the shared experts too wide");
  m.shared_inter = static_cast<int>(shared_inter);
  std::string const score = top.text("scoring_func", v3 ? "sigmoid" : "softmax");
  top.only("scoring_func", score, {"sigmoid", "softmax"});
  m.score = score == "sigmoid" ? moesaic::score_fn::sigmoid : moesaic::score_fn::softmax;
  std::string const method = top.text("topk_method", v3 ? "noaux_tc" : "greedy");
  top.only("topk_method", method, {"noaux_tc", "group_limited_greedy", "greedy"});
  m.bias = method == "noaux_tc";
  m.group_score = m.bias ? moesaic::group_score_fn::top2_sum : moesaic::group_score_fn::max;
  if (method != "greedy") {
    top.require_mention("n_group");
    top.require_mention("topk_group");
    m.n_group = top.integer("n_group", 1);
    m.topk_group = top.integer("topk_group", 1);
  }
  m.route_scale = static_cast<float>(top.number("routed_scaling_factor", v3 ? 2.5 : 1.0));
  if (!std::isfinite(m.route_scale)) top.refuse("routed_scaling_factor", "is no finite float");
  if (top.boolean("norm_topk_prob", v3)) {
    // DeepSeek-V2's own code and transformers disagree about what this would mean there; no published model asks.
    if (!m.bias) top.refuse("norm_topk_prob", "this example implements for topk_method noaux_tc only");
    m.norm = moesaic::norm_fn::sum;
    m.norm_eps = 1e-20F;
  }

  // What moesaic's concepts would say at compile time, said here in terms of the file.
  if (m.hidden < 8 || m.hidden % 8 != 0) top.refuse("hidden_size", "is no positive multiple of 8");
  if (m.inter < 8 || m.inter % 8 != 0) top.refuse("moe_intermediate_size", "is no positive multiple of 8");
  if (m.experts < 1) top.refuse("n_routed_experts", "is below 1");
  if (m.n_group < 1 || m.experts % m.n_group != 0) top.refuse("n_group", "does not divide n_routed_experts");
  if (m.topk_group < 1 || m.topk_group > m.n_group) top.refuse("topk_group", "is not from 1 to n_group");
  if (m.top_k < 1 || m.top_k > m.topk_group * (m.experts / m.n_group))
    top.refuse("num_experts_per_tok", "is not from 1 to the number of experts that the kept groups hold");
  if (m.n_group > 1 && m.bias && m.experts / m.n_group < 2) top.refuse("n_group", "leaves one expert to a group");
  return m;
}

std::string text_of(bool v) { return v ? "true" : "false"; }
std::string text_of(int v) { return std::to_string(v); }
std::string text_of(double v) { return json(v).dump(); }
std::string text_of(float v) { return json(v).dump(); }
std::string text_of(moesaic::weight_format f) {
  return f == moesaic::weight_format::f32 ? "F32" : f == moesaic::weight_format::bf16 ? "BF16" : "FP8 in blocks of 128 by 128";
}
std::string text_of(moesaic::score_fn f) { return f == moesaic::score_fn::sigmoid ? "sigmoid" : "softmax"; }
std::string text_of(moesaic::norm_fn f) { return text_of(f == moesaic::norm_fn::sum); }

hf_config from_json(std::string const& file, json const& whole) {
  if (!whole.is_object()) throw input_error(file + ": is not a JSON object");
  bool const nested = whole.contains("text_config") && whole["text_config"].is_object();
  section const top(file, nested ? whole["text_config"] : whole, nested ? "text_config." : "");

  top.require("model_type");
  std::string const type = top.text("model_type", "");
  top.only("model_type", type, {"deepseek_v2", "deepseek_v3", "kimi_k2"});
  bool const v3 = type != "deepseek_v2";
  top.only("hidden_act", top.text("hidden_act", "silu"), {"silu"});
  if (top.boolean("attention_bias", false)) top.refuse("attention_bias", "this example does not implement");
  if (!top.boolean("rope_interleave", true)) top.refuse("rope_interleave", "this example does not implement");

  model_config m{};
  m.vocab_size = top.integer("vocab_size");
  m.num_hidden_layers = top.integer("num_hidden_layers");
  m.first_k_dense_replace = top.integer("first_k_dense_replace", v3 ? 3 : 0);
  m.moe_layer_freq = top.integer("moe_layer_freq", 1);
  m.hidden_size = top.integer("hidden_size");
  m.intermediate_size = top.integer("intermediate_size");
  m.num_attention_heads = top.integer("num_attention_heads");
  top.require_mention("q_lora_rank");
  m.q_lora_rank = top.integer("q_lora_rank", 0);
  m.kv_lora_rank = top.integer("kv_lora_rank");
  m.qk_nope_head_dim = top.integer("qk_nope_head_dim");
  m.qk_rope_head_dim = top.integer("qk_rope_head_dim");
  m.v_head_dim = top.integer("v_head_dim");
  m.num_nextn_predict_layers = top.integer("num_nextn_predict_layers", 0);
  m.tie_word_embeddings = top.boolean("tie_word_embeddings", false);
  m.rms_norm_eps = top.number("rms_norm_eps", 1e-6);
  if (!(m.rms_norm_eps >= 0)) top.refuse("rms_norm_eps", "is below 0");
  m.rope = read_rope(top);
  m.moe = read_moe(top, v3);
  m.weights = read_weight_format(top);

  for (char const* key :
       {"vocab_size", "num_hidden_layers", "num_attention_heads", "kv_lora_rank", "qk_nope_head_dim", "v_head_dim", "intermediate_size"})
    if (top.integer(key) < 1) top.refuse(key, "is below 1");
  if (m.moe_layer_freq < 1) top.refuse("moe_layer_freq", "is below 1");
  if (m.qk_rope_head_dim < 2 || m.qk_rope_head_dim % 2 != 0) top.refuse("qk_rope_head_dim", "is no positive even number");
  if (top.integer("num_key_value_heads", m.num_attention_heads) != m.num_attention_heads)
    top.refuse("num_key_value_heads", "is not num_attention_heads");
  return {m};
}

}  // namespace

hf_config parse_hf_config(std::string const& file, std::string const& text) { return from_json(file, parse_json(file, text)); }

hf_config read_hf_config(std::filesystem::path const& file) { return from_json(file.string(), read_json(file)); }

std::vector<std::string> differences(model_config const& compiled, hf_config const& file) {
  std::vector<std::string> lines;
  auto compare = [&](char const* key, auto const& built, auto const& found) {
    if (built != found)
      lines.push_back(std::string(key) + ": config.json has " + text_of(found) + ", this program was built for " + text_of(built));
  };
  model_config const &a = compiled, &b = file.model;
  compare("vocab_size", a.vocab_size, b.vocab_size);
  compare("num_hidden_layers", a.num_hidden_layers, b.num_hidden_layers);
  compare("first_k_dense_replace", a.first_k_dense_replace, b.first_k_dense_replace);
  compare("moe_layer_freq", a.moe_layer_freq, b.moe_layer_freq);
  compare("hidden_size", a.hidden_size, b.hidden_size);
  compare("intermediate_size", a.intermediate_size, b.intermediate_size);
  compare("num_attention_heads", a.num_attention_heads, b.num_attention_heads);
  compare("q_lora_rank", a.q_lora_rank, b.q_lora_rank);
  compare("kv_lora_rank", a.kv_lora_rank, b.kv_lora_rank);
  compare("qk_nope_head_dim", a.qk_nope_head_dim, b.qk_nope_head_dim);
  compare("qk_rope_head_dim", a.qk_rope_head_dim, b.qk_rope_head_dim);
  compare("v_head_dim", a.v_head_dim, b.v_head_dim);
  compare("num_nextn_predict_layers", a.num_nextn_predict_layers, b.num_nextn_predict_layers);
  compare("tie_word_embeddings", a.tie_word_embeddings, b.tie_word_embeddings);
  compare("rms_norm_eps", a.rms_norm_eps, b.rms_norm_eps);
  compare("rope_theta", a.rope.theta, b.rope.theta);
  compare("rope_scaling.factor", a.rope.factor, b.rope.factor);
  if (a.rope.factor != 0 && b.rope.factor != 0) {
    compare("rope_scaling.original_max_position_embeddings", a.rope.original_length, b.rope.original_length);
    compare("rope_scaling.beta_fast", a.rope.beta_fast, b.rope.beta_fast);
    compare("rope_scaling.beta_slow", a.rope.beta_slow, b.rope.beta_slow);
    compare("rope_scaling.mscale", a.rope.mscale, b.rope.mscale);
    compare("rope_scaling.mscale_all_dim", a.rope.mscale_all_dim, b.rope.mscale_all_dim);
  }
  compare("moe_intermediate_size", a.moe.inter, b.moe.inter);
  compare("n_routed_experts", a.moe.experts, b.moe.experts);
  compare("num_experts_per_tok", a.moe.top_k, b.moe.top_k);
  compare("n_shared_experts * moe_intermediate_size", a.moe.shared_inter, b.moe.shared_inter);
  compare("scoring_func", a.moe.score, b.moe.score);
  compare("topk_method has a correction bias", a.moe.bias, b.moe.bias);
  compare("n_group", a.moe.n_group, b.moe.n_group);
  compare("topk_group", a.moe.topk_group, b.moe.topk_group);
  if (a.moe.n_group > 1 && b.moe.n_group > 1)
    compare("topk_method ranks groups by the sum of two", a.moe.group_score == moesaic::group_score_fn::top2_sum,
            b.moe.group_score == moesaic::group_score_fn::top2_sum);
  compare("norm_topk_prob", a.moe.norm, b.moe.norm);
  compare("routed_scaling_factor", a.moe.route_scale, b.moe.route_scale);
  compare("quantization_config / torch_dtype", a.weights, b.weights);
  return lines;
}

}  // namespace deepseek_v3
