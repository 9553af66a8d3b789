// Prints the model type for a config.json: the header that -DMOESAIC_DEEPSEEK_MODEL=FILE builds the example for.
#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdio>
#include <sstream>
#include <type_traits>

#include "checkpoint.hpp"
#include "hf_config.hpp"

namespace {

using namespace deepseek_v3;

/// The shortest decimal that reads back as the same number, spelled as a double or a float.
template <class T>
std::string number(T v) {
  char text[64];
  std::string s(text, std::to_chars(text, text + sizeof text, v).ptr);
  if (s.find_first_of(".e") == std::string::npos) s += ".0";
  return std::is_same_v<T, float> ? s + "F" : s;
}

std::string header(model_config const& c, std::string const& source) {
  moesaic::moe_config const& m = c.moe;
  std::ostringstream out;
  auto field = [&](char const* indent, char const* name, auto const& value) { out << indent << '.' << name << " = " << value << ",\n"; };
  char const* const one = "      ";
  char const* const two = "          ";
  out << "// Made by deepseek_v3_model_header from " << source
      << "\n#pragma once\n\n#include \"model_config.hpp\"\n\nnamespace deepseek_v3 {\n\n"
      << "struct model {\n  static constexpr model_config config{\n";
  field(one, "vocab_size", c.vocab_size);
  field(one, "num_hidden_layers", c.num_hidden_layers);
  field(one, "first_k_dense_replace", c.first_k_dense_replace);
  field(one, "moe_layer_freq", c.moe_layer_freq);
  field(one, "hidden_size", c.hidden_size);
  field(one, "intermediate_size", c.intermediate_size);
  field(one, "num_attention_heads", c.num_attention_heads);
  field(one, "q_lora_rank", c.q_lora_rank);
  field(one, "kv_lora_rank", c.kv_lora_rank);
  field(one, "qk_nope_head_dim", c.qk_nope_head_dim);
  field(one, "qk_rope_head_dim", c.qk_rope_head_dim);
  field(one, "v_head_dim", c.v_head_dim);
  field(one, "num_nextn_predict_layers", c.num_nextn_predict_layers);
  field(one, "tie_word_embeddings", c.tie_word_embeddings ? "true" : "false");
  field(one, "rms_norm_eps", number(c.rms_norm_eps));
  out << one << ".rope =\n" << two << "{\n";
  field(two, "theta", number(c.rope.theta));
  if (c.rope.factor != 0) {
    field(two, "factor", number(c.rope.factor));
    field(two, "original_length", c.rope.original_length);
    field(two, "beta_fast", number(c.rope.beta_fast));
    field(two, "beta_slow", number(c.rope.beta_slow));
    field(two, "mscale", number(c.rope.mscale));
    field(two, "mscale_all_dim", number(c.rope.mscale_all_dim));
  }
  out << two << "},\n" << one << ".moe =\n" << two << "{\n";
  field(two, "hidden", m.hidden);
  field(two, "inter", m.inter);
  field(two, "experts", m.experts);
  field(two, "top_k", m.top_k);
  field(two, "score", m.score == moesaic::score_fn::sigmoid ? "moesaic::score_fn::sigmoid" : "moesaic::score_fn::softmax");
  field(two, "bias", m.bias ? "true" : "false");
  field(two, "n_group", m.n_group);
  field(two, "topk_group", m.topk_group);
  field(two, "group_score",
        m.group_score == moesaic::group_score_fn::max ? "moesaic::group_score_fn::max" : "moesaic::group_score_fn::top2_sum");
  field(two, "norm", m.norm == moesaic::norm_fn::sum ? "moesaic::norm_fn::sum" : "moesaic::norm_fn::none");
  field(two, "norm_eps", number(m.norm_eps));
  field(two, "route_scale", number(m.route_scale));
  field(two, "shared_inter", m.shared_inter);
  out << two << "},\n";
  field(one, "weights",
        c.weights == moesaic::weight_format::f32    ? "moesaic::weight_format::f32"
        : c.weights == moesaic::weight_format::bf16 ? "moesaic::weight_format::bf16"
                                                    : "moesaic::weight_format::e4m3_128x128");
  out << "  };\n};\n\n}  // namespace deepseek_v3\n";
  return out.str();
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Prints the model type, as a C++ header, for a config.json of the DeepSeek-V2/V3 family.");
  std::string file;
  app.add_option("config", file, "config.json")->required();
  try {
    app.parse(argc, argv);
    std::fputs(header(read_hf_config(file).model, file).c_str(), stdout);
  } catch (CLI::Success const& help) {
    return app.exit(help);
  } catch (std::exception const& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
