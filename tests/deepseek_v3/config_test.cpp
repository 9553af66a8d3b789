// config.json: both spellings, what is refused, and that every difference to a compiled model is named.
#include <gtest/gtest.h>

#include <algorithm>

#include "checkpoint.hpp"
#include "golden_models.hpp"
#include "hf_config.hpp"
#include "models/deepseek_v3.hpp"
#include "scratch_directory.hpp"

namespace {

using namespace deepseek_v3;

using edits = std::initializer_list<std::pair<std::string, std::string>>;

/// A file with some of its text replaced, so that a test shows only what it changes.
std::string edited(std::string s, edits const& changes) {
  for (auto const& [from, to] : changes) {
    auto const at = s.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    if (at != std::string::npos) s.replace(at, from.size(), to);
  }
  return s;
}

std::string tiny_a(edits const& changes = {}) {
  return edited(R"({"model_type": "deepseek_v3", "hidden_act": "silu", "attention_bias": false, "vocab_size": 512,
    "num_hidden_layers": 4, "first_k_dense_replace": 1, "moe_layer_freq": 1, "hidden_size": 256, "intermediate_size": 512,
    "num_attention_heads": 4, "num_key_value_heads": 4, "q_lora_rank": 128, "kv_lora_rank": 96, "qk_nope_head_dim": 32,
    "qk_rope_head_dim": 32, "v_head_dim": 32, "num_nextn_predict_layers": 1, "tie_word_embeddings": false, "rms_norm_eps": 1e-06,
    "rope_theta": 10000, "rope_scaling": {"type": "yarn", "factor": 4, "original_max_position_embeddings": 64, "beta_fast": 32,
    "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 1.0}, "moe_intermediate_size": 128, "n_routed_experts": 16,
    "n_shared_experts": 1, "num_experts_per_tok": 4, "n_group": 4, "topk_group": 2, "scoring_func": "sigmoid",
    "topk_method": "noaux_tc", "norm_topk_prob": true, "routed_scaling_factor": 2.5, "torch_dtype": "bfloat16",
    "quantization_config": {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128]}})",
                changes);
}

/// What DeepSeek publishes with V3, as far as it is about the model.
std::string deepseek_v3_file(edits const& changes = {}) {
  return edited(R"({"architectures": ["DeepseekV3ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 0,
    "eos_token_id": 1, "ep_size": 1, "first_k_dense_replace": 3, "hidden_act": "silu", "hidden_size": 7168, "initializer_range": 0.02,
    "intermediate_size": 18432, "kv_lora_rank": 512, "max_position_embeddings": 163840, "model_type": "deepseek_v3",
    "moe_intermediate_size": 2048, "moe_layer_freq": 1, "n_group": 8, "n_routed_experts": 256, "n_shared_experts": 1,
    "norm_topk_prob": true, "num_attention_heads": 128, "num_experts_per_tok": 8, "num_hidden_layers": 61, "num_key_value_heads": 128,
    "num_nextn_predict_layers": 1, "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
    "quantization_config": {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8", "weight_block_size": [128, 128]},
    "rms_norm_eps": 1e-06, "rope_scaling": {"beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 1.0, "mscale_all_dim": 1.0,
    "original_max_position_embeddings": 4096, "type": "yarn"}, "rope_theta": 10000, "routed_scaling_factor": 2.5,
    "scoring_func": "sigmoid", "tie_word_embeddings": false, "topk_group": 4, "topk_method": "noaux_tc", "torch_dtype": "bfloat16",
    "use_cache": true, "v_head_dim": 128, "vocab_size": 129280})",
                changes);
}

struct config : testing::Test {
  scratch_directory d;
  std::string const file = d.file("config.json");

  hf_config read(std::string const& content) const {
    d.write("config.json", content);
    return read_hf_config(file);
  }
  std::string refused(std::string const& content) const {
    try {
      read(content);
    } catch (input_error const& e) {
      return e.what();
    }
    return "";
  }
  std::string refused(std::string const& from, std::string const& to) const { return refused(tiny_a({{from, to}})); }
};

TEST_F(config, a_file_equals_its_model) { EXPECT_EQ(differences(golden::tiny_a, read(tiny_a())), std::vector<std::string>{}); }

TEST_F(config, published_models_are_read) {
  EXPECT_EQ(differences(model::config, read(deepseek_v3_file())), std::vector<std::string>{});

  model_config const kimi_k2 = read(deepseek_v3_file({{"\"deepseek_v3\"", "\"kimi_k2\""},
                                                      {R"("num_attention_heads": 128)", R"("num_attention_heads": 64)"},
                                                      {R"("num_key_value_heads": 128)", R"("num_key_value_heads": 64)"},
                                                      {R"("n_routed_experts": 256)", R"("n_routed_experts": 384)"},
                                                      {R"("n_group": 8)", R"("n_group": 1)"},
                                                      {R"("topk_group": 4)", R"("topk_group": 1)"},
                                                      {R"("num_nextn_predict_layers": 1)", R"("num_nextn_predict_layers": 0)"},
                                                      {R"("beta_fast": 32)", R"("beta_fast": 1.0)"}}))
                                   .model;
  EXPECT_EQ(kimi_k2.moe.experts, 384);
  EXPECT_EQ(kimi_k2.rope.beta_fast, 1.0);

  // DeepSeek-V2-Lite: no groups, no bias, no q_lora, two shared experts, BF16.
  model_config const v2_lite =
      read(R"({"model_type": "deepseek_v2", "first_k_dense_replace": 1, "hidden_act": "silu", "hidden_size": 2048, "q_lora_rank": null,
    "intermediate_size": 10944, "kv_lora_rank": 512, "moe_intermediate_size": 1408, "moe_layer_freq": 1, "n_group": 1,
    "n_routed_experts": 64, "n_shared_experts": 2, "norm_topk_prob": false, "num_attention_heads": 16, "num_experts_per_tok": 6,
    "num_hidden_layers": 27, "num_key_value_heads": 16, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "rms_norm_eps": 1e-06,
    "rope_scaling": {"beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 0.707, "mscale_all_dim": 0.707,
    "original_max_position_embeddings": 4096, "type": "yarn"}, "rope_theta": 10000, "routed_scaling_factor": 1.0,
    "scoring_func": "softmax", "tie_word_embeddings": false, "topk_group": 1, "topk_method": "greedy", "torch_dtype": "bfloat16",
    "v_head_dim": 128, "vocab_size": 102400})")
          .model;
  EXPECT_EQ(v2_lite.weights, moesaic::weight_format::bf16);
  EXPECT_EQ(v2_lite.moe.shared_inter, moesaic::models::deepseek_v2_lite::config.shared_inter);
  EXPECT_EQ(v2_lite.moe.score, moesaic::score_fn::softmax);
  EXPECT_EQ(v2_lite.num_nextn_predict_layers, 0);
}

TEST_F(config, both_rope_spellings_nested_and_newer_names_mean_the_same) {
  std::string const newer = tiny_a(
      {{R"("rope_theta": 10000, "rope_scaling": {"type": "yarn",)", R"("rope_parameters": {"rope_theta": 10000.0, "rope_type": "yarn",)"},
       {"torch_dtype", "dtype"}});
  EXPECT_EQ(differences(golden::tiny_a, read(newer)), std::vector<std::string>{});
  EXPECT_EQ(differences(golden::tiny_a, read(R"({"model_type": "outer", "text_config": )" + tiny_a() + "}")), std::vector<std::string>{});
}

TEST_F(config, plain_rope_is_no_yarn) {
  std::string s = tiny_a();
  auto const at = s.find(R"({"type": "yarn")"), end = s.find('}', at);
  s.replace(at, end - at + 1, "null");
  EXPECT_EQ(read(s).model.rope.factor, 0.0);
}

TEST_F(config, deepseek_v2_means_softmax_and_the_best_expert_of_a_group) {
  moesaic::moe_config const m = read(tiny_a({{"deepseek_v3", "deepseek_v2"},
                                             {R"("scoring_func": "sigmoid",)", ""},
                                             {"noaux_tc", "group_limited_greedy"},
                                             {R"("norm_topk_prob": true)", R"("norm_topk_prob": false)"}}))
                                    .model.moe;
  EXPECT_EQ(m.score, moesaic::score_fn::softmax);
  EXPECT_EQ(m.group_score, moesaic::group_score_fn::max);
  EXPECT_FALSE(m.bias);
  EXPECT_EQ(m.norm, moesaic::norm_fn::none);
  EXPECT_EQ(m.n_group, 4);
}

TEST_F(config, every_key_that_differs_is_named) {
  hf_config const f = read(tiny_a({{R"("vocab_size": 512)", R"("vocab_size": 513)"},
                                   {R"("rms_norm_eps": 1e-06)", R"("rms_norm_eps": 1e-05)"},
                                   {R"("mscale_all_dim": 1.0)", R"("mscale_all_dim": 0.5)"},
                                   {R"("topk_group": 2)", R"("topk_group": 3)"},
                                   {R"("norm_topk_prob": true)", R"("norm_topk_prob": false)"},
                                   {R"("routed_scaling_factor": 2.5)", R"("routed_scaling_factor": 1)"}}));
  EXPECT_EQ(differences(golden::tiny_a, f),
            (std::vector<std::string>{"vocab_size: config.json has 513, this program was built for 512",
                                      "rms_norm_eps: config.json has 1e-05, this program was built for 1e-06",
                                      "rope_scaling.mscale_all_dim: config.json has 0.5, this program was built for 1.0",
                                      "topk_group: config.json has 3, this program was built for 2",
                                      "norm_topk_prob: config.json has false, this program was built for true",
                                      "routed_scaling_factor: config.json has 1.0, this program was built for 2.5"}));
}

TEST_F(config, every_number_of_the_model_is_compared) {
  for (char const* key : {"vocab_size",
                          "num_hidden_layers",
                          "first_k_dense_replace",
                          "moe_layer_freq",
                          "hidden_size",
                          "intermediate_size",
                          "num_attention_heads",
                          "q_lora_rank",
                          "kv_lora_rank",
                          "qk_nope_head_dim",
                          "qk_rope_head_dim",
                          "v_head_dim",
                          "num_nextn_predict_layers",
                          "rope_theta",
                          "moe_intermediate_size",
                          "n_routed_experts",
                          "n_shared_experts",
                          "num_experts_per_tok",
                          "n_group",
                          "topk_group"}) {
    std::string s = tiny_a({{R"("num_key_value_heads": 4, )", ""}});
    std::string const quoted = std::string(1, '"').append(key).append("\": ");
    auto const at = s.find(quoted) + quoted.size(), end = s.find_first_of(",}", at);
    int const value = std::stoi(s.substr(at, end - at));
    s.replace(at, end - at, std::to_string(std::string(key) == "topk_group" ? value - 1 : value == 1 ? 2 : value * 2));
    EXPECT_GE(differences(golden::tiny_a, read(s)).size(), 1U) << key;
  }
}

TEST_F(config, missing_and_ill_formed_files_are_refused) {
  EXPECT_THROW(read_hf_config(file), input_error);
  EXPECT_EQ(refused("").find(file + ": is not JSON"), 0U);
  EXPECT_EQ(refused("{").find(file + ": is not JSON"), 0U);
  EXPECT_EQ(refused("[]"), file + ": is not a JSON object");
  EXPECT_EQ(refused(R"({"model_type": "deepseek_v3", "model_type": "deepseek_v2"})"), file + ": key 'model_type' is given twice");
  EXPECT_EQ(refused("{}"), file + ": key 'model_type' is missing");
  EXPECT_EQ(refused(R"("kv_lora_rank": 96,)", ""), file + ": key 'kv_lora_rank' is missing");
  for (char const* const setting : {"q_lora_rank\": 128", "n_shared_experts\": 1", "n_group\": 4", "topk_group\": 2"}) {
    std::string const text = setting, key = text.substr(0, text.find('"'));  // null would say that there is none; silence says nothing
    EXPECT_EQ(refused("\"" + text + ",", ""), file + ": key '" + key + "' is missing");
  }
  EXPECT_EQ(refused(tiny_a() + std::string("\0{", 2)), file + ": is not JSON: it has a zero byte");
  EXPECT_EQ(refused(R"("vocab_size": 512)", "\"vocab_size\": " + std::string(100'000, '[') + std::string(100'000, ']')),
            file + ": is nested deeper than 64 levels");
  EXPECT_EQ(refused(R"("vocab_size": 512)", "\"vocab_size\": \"" + std::string(1000, 'x') + "\""),
            file + ": key 'vocab_size' is \"" + std::string(76, 'x') + "..., which is not an integer from 0 to 2147483647");
  EXPECT_EQ(refused(R"("vocab_size": 512)", R"("vocab_size": "512")"),
            file + ": key 'vocab_size' is \"512\", which is not an integer from 0 to 2147483647");
  EXPECT_EQ(refused(R"("vocab_size": 512)", R"("vocab_size": -1)"),
            file + ": key 'vocab_size' is -1, which is not an integer from 0 to 2147483647");
  EXPECT_EQ(refused(R"("vocab_size": 512)", R"("vocab_size": 5e99)"),
            file + ": key 'vocab_size' is 5e+99, which is not an integer from 0 to 2147483647");
}

TEST_F(config, what_the_example_does_not_implement_is_refused) {
  EXPECT_EQ(refused("deepseek_v3", "llama"), file + ": key 'model_type' is \"llama\", which this example does not implement");
  EXPECT_EQ(refused("silu", "gelu"), file + ": key 'hidden_act' is \"gelu\", which this example does not implement");
  EXPECT_EQ(refused(R"("attention_bias": false)", R"("attention_bias": true)"),
            file + ": key 'attention_bias' is true, which this example does not implement");
  EXPECT_EQ(refused(R"("attention_bias": false)", R"("rope_interleave": false)"),
            file + ": key 'rope_interleave' is false, which this example does not implement");
  EXPECT_EQ(refused("\"sigmoid\"", "\"tanh\""), file + ": key 'scoring_func' is \"tanh\", which this example does not implement");
  EXPECT_EQ(refused("noaux_tc", "other"), file + ": key 'topk_method' is \"other\", which this example does not implement");
  EXPECT_EQ(refused("\"yarn\"", "\"linear\""), file + ": key 'rope_scaling.type' is \"linear\", which this example does not implement");
  EXPECT_EQ(refused("\"fp8\"", "\"awq\""),
            file + ": key 'quantization_config.quant_method' is \"awq\", which this example does not implement");
  EXPECT_EQ(refused("[128, 128]", "[96, 128]"),
            file + ": key 'quantization_config.weight_block_size' is [96,128], which is not [128, 128]");
}

TEST_F(config, numbers_that_have_no_root_power_or_logarithm_are_refused) {
  EXPECT_EQ(refused(R"("rms_norm_eps": 1e-06)", R"("rms_norm_eps": -1.0)"), file + ": key 'rms_norm_eps' is -1.0, which is below 0");
  EXPECT_EQ(refused(R"("rope_theta": 10000)", R"("rope_theta": 0)"), file + ": key 'rope_theta' is 0, which is not above 0");
  EXPECT_EQ(refused(R"("beta_fast": 32)", R"("beta_fast": 0)"), file + ": key 'rope_scaling.beta_fast' is 0, which is not above 0");
  EXPECT_EQ(refused(R"("beta_slow": 1,)", R"("beta_slow": -1,)"), file + ": key 'rope_scaling.beta_slow' is -1, which is not above 0");
  EXPECT_EQ(refused(R"("routed_scaling_factor": 2.5)", R"("routed_scaling_factor": 1e300)"),
            file + ": key 'routed_scaling_factor' is 1e+300, which is no finite float");
}
TEST_F(config, sizes_that_no_layer_can_have_are_refused) {
  EXPECT_EQ(refused(R"("n_group": 4)", R"("n_group": 3)"), file + ": key 'n_group' is 3, which does not divide n_routed_experts");
  EXPECT_EQ(refused(R"("topk_group": 2)", R"("topk_group": 5)"), file + ": key 'topk_group' is 5, which is not from 1 to n_group");
  EXPECT_EQ(refused(R"("num_experts_per_tok": 4)", R"("num_experts_per_tok": 9)"),
            file + ": key 'num_experts_per_tok' is 9, which is not from 1 to the number of experts that the kept groups hold");
  EXPECT_EQ(refused(R"("n_shared_experts": 1)", R"("n_shared_experts": 2147483647)"),
            file + ": key 'n_shared_experts' is 2147483647, which makes the shared experts too wide");
  EXPECT_EQ(refused(R"("hidden_size": 256)", R"("hidden_size": 252)"),
            file + ": key 'hidden_size' is 252, which is no positive multiple of 8");
  EXPECT_EQ(refused(R"("moe_layer_freq": 1)", R"("moe_layer_freq": 0)"), file + ": key 'moe_layer_freq' is 0, which is below 1");
}

}  // namespace
