// Writes a golden checkpoint as the directory that a model hub would hold: config.json, sharded safetensors, their index.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "golden_models.hpp"
#include "hash_weights.hpp"

namespace {

using namespace deepseek_v3;
using json = nlohmann::ordered_json;

struct stored_tensor {
  std::string name, dtype;
  std::vector<std::int64_t> shape;
  std::string bytes;
};

template <class T>
std::string bytes_of(std::vector<T> const& v) {
  return {reinterpret_cast<char const*>(v.data()), v.size() * sizeof(T)};
}

class model_writer {
 public:
  explicit model_writer(golden::golden_model const& m) : m_(m), c_(m.config) {}

  std::vector<stored_tensor> tensors() {
    int const h = c_.hidden_size;
    matrix("model.embed_tokens.weight", c_.vocab_size, h, std::sqrt(static_cast<double>(h)), false);
    for (int l = 0; l < c_.num_hidden_layers + c_.num_nextn_predict_layers; ++l) layer(l);
    norm("model.norm.weight", h);
    if (!c_.tie_word_embeddings) matrix("lm_head.weight", c_.vocab_size, h, 3.0, false);
    return std::move(tensors_);
  }

  json config() const {
    moesaic::moe_config const& e = c_.moe;
    bool const v3 = e.score == moesaic::score_fn::sigmoid;
    json j{{"architectures", {v3 ? "DeepseekV3ForCausalLM" : "DeepseekV2ForCausalLM"}},
           {"attention_bias", false},
           {"bos_token_id", 0},
           {"eos_token_id", 1},
           {"first_k_dense_replace", c_.first_k_dense_replace},
           {"hidden_act", "silu"},
           {"hidden_size", c_.hidden_size},
           {"intermediate_size", c_.intermediate_size},
           {"kv_lora_rank", c_.kv_lora_rank},
           {"max_position_embeddings", c_.rope.factor > 0 ? static_cast<int>(c_.rope.factor) * c_.rope.original_length : 4096},
           {"model_type", m_.model_type},
           {"moe_intermediate_size", e.inter},
           {"moe_layer_freq", c_.moe_layer_freq},
           {"n_group", e.n_group},
           {"n_routed_experts", e.experts},
           {"n_shared_experts", m_.n_shared_experts},
           {"norm_topk_prob", e.norm == moesaic::norm_fn::sum},
           {"num_attention_heads", c_.num_attention_heads},
           {"num_experts_per_tok", e.top_k},
           {"num_hidden_layers", c_.num_hidden_layers},
           {"num_key_value_heads", c_.num_attention_heads},
           {"num_nextn_predict_layers", c_.num_nextn_predict_layers},
           {"q_lora_rank", nullptr},
           {"qk_nope_head_dim", c_.qk_nope_head_dim},
           {"qk_rope_head_dim", c_.qk_rope_head_dim},
           {"rms_norm_eps", c_.rms_norm_eps},
           {"routed_scaling_factor", static_cast<double>(e.route_scale)},
           {"scoring_func", v3 ? "sigmoid" : "softmax"},
           {"tie_word_embeddings", c_.tie_word_embeddings},
           {"topk_group", e.topk_group},
           {"topk_method", v3 ? "noaux_tc" : "group_limited_greedy"},
           {"torch_dtype", c_.weights == moesaic::weight_format::f32 ? "float32" : "bfloat16"},
           {"v_head_dim", c_.v_head_dim},
           {"vocab_size", c_.vocab_size}};
    if (c_.q_lora_rank > 0) j["q_lora_rank"] = c_.q_lora_rank;
    if (c_.weights == moesaic::weight_format::e4m3_128x128)
      j["quantization_config"] = {
          {"activation_scheme", "dynamic"}, {"fmt", "e4m3"}, {"quant_method", "fp8"}, {"weight_block_size", {128, 128}}};
    json rope;
    if (c_.rope.factor > 0)
      rope = {{m_.rope_parameters ? "rope_type" : "type", "yarn"},
              {"factor", static_cast<int>(c_.rope.factor)},
              {"original_max_position_embeddings", c_.rope.original_length},
              {"beta_fast", static_cast<int>(c_.rope.beta_fast)},
              {"beta_slow", static_cast<int>(c_.rope.beta_slow)},
              {"mscale", c_.rope.mscale},
              {"mscale_all_dim", c_.rope.mscale_all_dim}};
    if (m_.rope_parameters) {
      rope["rope_theta"] = c_.rope.theta;
      j["rope_parameters"] = rope;
    } else {
      j["rope_theta"] = c_.rope.theta;
      j["rope_scaling"] = rope;  // null without YaRN, as published files have it
    }
    return j;
  }

 private:
  void matrix(std::string const& name, std::int64_t out, std::int64_t in, double gain = 1.0, bool quantized = true) {
    std::vector<float> const w = hash_matrix(name, out, in, gain);
    if (quantized && c_.weights == moesaic::weight_format::e4m3_128x128) {
      fp8_matrix const q = quantize_blocks(w, out, in);
      tensors_.push_back({name, "F8_E4M3", {out, in}, bytes_of(q.codes)});
      tensors_.push_back({name + "_scale_inv", "F32", {(out + 127) / 128, (in + 127) / 128}, bytes_of(q.scales)});
      return;
    }
    add_rounded(name, {out, in}, w);
  }
  void norm(std::string const& name, std::int64_t dim) {
    hash_values const u(name);
    std::vector<float> g;
    for (std::int64_t i = 0; i < dim; ++i) g.push_back(static_cast<float>(1 + 0.1 * u[i]));
    add_rounded(name, {dim}, g);
  }
  /// BF16 values, in a model of F32 weights stored as such.
  void add_rounded(std::string const& name, std::vector<std::int64_t> const& shape, std::vector<float> const& v) {
    std::vector<moesaic::bf16> narrow;
    for (float const x : v) narrow.push_back(moesaic::to_bf16(x));
    if (c_.weights != moesaic::weight_format::f32) {
      tensors_.push_back({name, "BF16", shape, bytes_of(narrow)});
      return;
    }
    std::vector<float> wide;
    for (moesaic::bf16 const x : narrow) wide.push_back(moesaic::to_float(x));
    tensors_.push_back({name, "F32", shape, bytes_of(wide)});
  }
  void mlp(std::string const& prefix, std::int64_t inter) {
    matrix(prefix + "gate_proj.weight", inter, c_.hidden_size);
    matrix(prefix + "up_proj.weight", inter, c_.hidden_size);
    matrix(prefix + "down_proj.weight", c_.hidden_size, inter);
  }
  void layer(int l) {
    std::string const p = "model.layers." + std::to_string(l) + ".", a = p + "self_attn.";
    std::int64_t const h = c_.hidden_size, heads = c_.num_attention_heads, query = c_.qk_nope_head_dim + c_.qk_rope_head_dim;
    norm(p + "input_layernorm.weight", h);
    norm(p + "post_attention_layernorm.weight", h);
    if (c_.q_lora_rank > 0) {
      matrix(a + "q_a_proj.weight", c_.q_lora_rank, h);
      norm(a + "q_a_layernorm.weight", c_.q_lora_rank);
      matrix(a + "q_b_proj.weight", heads * query, c_.q_lora_rank);
    } else {
      matrix(a + "q_proj.weight", heads * query, h);
    }
    matrix(a + "kv_a_proj_with_mqa.weight", c_.kv_lora_rank + c_.qk_rope_head_dim, h);
    norm(a + "kv_a_layernorm.weight", c_.kv_lora_rank);
    matrix(a + "kv_b_proj.weight", heads * (c_.qk_nope_head_dim + c_.v_head_dim), c_.kv_lora_rank);
    matrix(a + "o_proj.weight", h, heads * c_.v_head_dim);
    if (!c_.is_moe_layer(l)) {
      mlp(p + "mlp.", c_.intermediate_size);
    } else {
      matrix(p + "mlp.gate.weight", c_.moe.experts, h, 1.0, false);
      if (c_.moe.bias) {
        std::string const name = p + "mlp.gate.e_score_correction_bias";
        hash_values const u(name);
        std::vector<float> bias;
        for (int e = 0; e < c_.moe.experts; ++e) bias.push_back(static_cast<float>(0.1 * u[e]));
        tensors_.push_back({name, "F32", {c_.moe.experts}, bytes_of(bias)});
      }
      for (int e = 0; e < c_.moe.experts; ++e) mlp(p + "mlp.experts." + std::to_string(e) + ".", c_.moe.inter);
      mlp(p + "mlp.shared_experts.", c_.moe.shared_inter);
    }
    if (l >= c_.num_hidden_layers) {
      norm(p + "enorm.weight", h);
      norm(p + "hnorm.weight", h);
      matrix(p + "eh_proj.weight", h, 2 * h, 1.0, false);
      norm(p + "shared_head.norm.weight", h);
    }
  }

  golden::golden_model const& m_;
  model_config const& c_;
  std::vector<stored_tensor> tensors_;
};

/// Whole files only: a reader never sees a half-written one.
void write_file(std::filesystem::path const& path, std::string const& content) {
  std::filesystem::path const temporary = path.string() + ".tmp";
  std::ofstream out(temporary, std::ios::binary | std::ios::trunc);
  out.write(content.data(), static_cast<std::streamsize>(content.size()));
  out.close();
  if (!out) throw std::runtime_error(temporary.string() + ": cannot be written: " + std::strerror(errno));
  std::filesystem::rename(temporary, path);
}

int alignment(std::string const& dtype) { return dtype == "F32" ? 4 : dtype == "BF16" ? 2 : 1; }

/// The official order: wider elements first, then by name; the header padded with spaces to a multiple of 8.
std::string safetensors(std::vector<stored_tensor const*> tensors) {
  std::sort(tensors.begin(), tensors.end(), [](auto const* a, auto const* b) {
    int const x = alignment(a->dtype), y = alignment(b->dtype);
    return x != y ? x > y : a->name < b->name;
  });
  json header{{"__metadata__", {{"format", "pt"}}}};
  std::uint64_t at = 0;
  for (auto const* t : tensors) {
    header[t->name] = {{"dtype", t->dtype}, {"shape", t->shape}, {"data_offsets", {at, at + t->bytes.size()}}};
    at += t->bytes.size();
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  std::uint64_t const length = text.size();
  std::string file(reinterpret_cast<char const*>(&length), 8);
  file += text;
  for (auto const* t : tensors) file += t->bytes;
  return file;
}

void write(golden::golden_model const& m, std::filesystem::path const& directory, std::size_t shards) {
  std::filesystem::create_directories(directory);
  model_writer writer(m);
  std::vector<stored_tensor> const tensors = writer.tensors();
  std::vector<std::vector<stored_tensor const*>> parts(shards);
  json map;
  std::uint64_t total = 0;
  auto file_of = [&](std::size_t part) {
    char name[64];
    std::snprintf(name, sizeof name, "model-%05zu-of-%06zu.safetensors", part + 1, shards);
    return std::string(name);
  };
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    // Shards cut the sequence wherever it falls; every fifth scale goes to the next shard, as official checkpoints may have it.
    bool const moved = i % 5 == 0 && tensors[i].name.ends_with("_scale_inv");
    std::size_t const part = (i * shards / tensors.size() + (moved ? 1 : 0)) % shards;
    parts[part].push_back(&tensors[i]);
    map[tensors[i].name] = file_of(part);
    total += tensors[i].bytes.size();
  }
  for (std::size_t part = 0; part < shards; ++part) write_file(directory / file_of(part), safetensors(parts[part]));
  write_file(directory / "model.safetensors.index.json", json{{"metadata", {{"total_size", total}}}, {"weight_map", map}}.dump(1) + "\n");
  write_file(directory / "config.json", writer.config().dump(2) + "\n");
  std::printf("%s: %zu tensors, %llu bytes in %zu shards\n", directory.c_str(), tensors.size(), static_cast<unsigned long long>(total),
              shards);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Writes a golden checkpoint as a Hugging Face directory.");
  std::string name, directory;
  std::size_t shards = 3;
  std::vector<std::string> names;
  for (auto const& m : golden::all) names.emplace_back(m.name);
  app.add_option("name", name, "which model")->required()->check(CLI::IsMember(names));
  app.add_option("directory", directory, "where to; made if missing")->required();
  app.add_option("--shards", shards, "number of safetensors files")->check(CLI::Range(1, 99));
  try {
    app.parse(argc, argv);
    for (auto const& m : golden::all)
      if (name == m.name) write(m, directory, shards);
  } catch (CLI::Success const& help) {
    return app.exit(help);
  } catch (std::exception const& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
