// The programs as a user runs them: exit code, what stands on stderr, and that no half-written report stays behind.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "checkpoint.hpp"
#include "safetensors.hpp"
#include "scratch_directory.hpp"

namespace {

namespace fs = std::filesystem;

struct program {
  std::string model, path, tokens;
};
program const programs[] = {
#include "programs.inc"
};

struct outcome {
  int code;
  std::string out, err;
};

std::string content(fs::path const& file) {
  std::ostringstream s;
  s << std::ifstream(file, std::ios::binary).rdbuf();
  return s.str();
}

struct run_program : testing::Test {
  scratch_directory d;

  outcome run(program const& p, std::string const& directory, std::string const& arguments) const {
    std::string const command = "'" + p.path + "' '" + directory + "' " + arguments + " >" + d.file("out") + " 2>" + d.file("err");
    int const status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, content(d.file("out")), content(d.file("err"))};
  }
  static std::string golden(program const& p) { return std::string(MOESAIC_CHECKPOINTS) + "/" + p.model; }
};

TEST_F(run_program, one_and_two_threads_report_the_same_bits) {
  for (program const& p : programs) {
    nlohmann::json reports[2];
    for (int threads : {1, 2}) {
      std::string const file = d.file("report.json");
      outcome const o = run(p, golden(p), "--tokens " + p.tokens + " --threads " + std::to_string(threads) + " --report " + file);
      ASSERT_EQ(o.code, 0) << o.err;
      EXPECT_EQ(o.err, "");
      reports[threads - 1] = nlohmann::json::parse(content(file));
    }
    for (char const* key : {"tokens", "logits", "argmax", "experts", "expert_weights", "bytes"})
      EXPECT_EQ(reports[0][key].dump(), reports[1][key].dump()) << p.model << ' ' << key;
    EXPECT_TRUE(reports[0]["timings"].is_object());
  }
}

TEST_F(run_program, a_prefix_has_the_same_logits_as_inside_a_longer_prompt) {
  program const& p = programs[0];
  nlohmann::json reports[2];
  std::string const prompts[] = {"1,17,256", p.tokens};
  for (int i : {0, 1}) {
    ASSERT_EQ(run(p, golden(p), "--tokens " + prompts[i] + " --report " + d.file("report.json")).code, 0);
    reports[i] = nlohmann::json::parse(content(d.file("report.json")));
  }
  for (std::size_t t = 0; t < 3; ++t) EXPECT_EQ(reports[0]["logits"][t].dump(), reports[1]["logits"][t].dump()) << t;
}

TEST_F(run_program, tokens_from_a_file_are_the_same_tokens) {
  program const& p = programs[0];
  d.write("tokens", "1, 17\n256 3\n");
  outcome const file = run(p, golden(p), "--tokens-file " + d.file("tokens")), list = run(p, golden(p), "--tokens 1,17,256,3");
  EXPECT_EQ(file.code, 0);
  EXPECT_EQ(file.out.substr(0, file.out.find("weights; seconds")), list.out.substr(0, list.out.find("weights; seconds")));
}

TEST_F(run_program, the_default_is_the_processors) {
  program const& p = programs[0];
  outcome const o = run(p, golden(p), "--tokens 1,17"), named = run(p, golden(p), "--tokens 1,17 --backend kokkos");
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(o.out.substr(0, o.out.find("weights; seconds")), named.out.substr(0, named.out.find("weights; seconds")));
}

/// Where there is a GPU this runs, and deepseek_v3_golden_*_cuda say how well. Elsewhere it is the first thing that the program notices.
TEST_F(run_program, a_gpu_that_is_not_there_is_exit_code_2_and_one_line) {
  outcome const o = run(programs[0], "/nonexistent", "--tokens 1 --backend cuda");
  if (o.code == 1) GTEST_SKIP() << "there is a GPU";
  EXPECT_EQ(o.code, 2);
  EXPECT_EQ(o.out, "");
  EXPECT_EQ(o.err.find("--backend cuda: this "), 0U) << o.err;
  EXPECT_EQ(o.err.find('\n'), o.err.size() - 1) << o.err;
}

TEST_F(run_program, a_wrong_expectation_is_exit_code_1) {
  nlohmann::json golden_file = nlohmann::json::parse(content(std::string(MOESAIC_FIXTURES) + "/golden_full.json"));
  golden_file["tinyA"]["routing"]["experts_all"][0][0][0] = (golden_file["tinyA"]["routing"]["experts_all"][0][0][0].get<int>() + 1) % 16;
  d.write("wrong.json", golden_file.dump());
  outcome const o =
      run(programs[0], golden(programs[0]), "--tokens " + programs[0].tokens + " --check " + d.file("wrong.json") + " --case tinyA");
  EXPECT_EQ(o.code, 1);
}

/// The same model in other files must give the same bits.
struct rewritten : run_program {
  program const& p = programs[0];
  fs::path const copy = d.path / "copy";

  std::string logits(std::string const& directory) const {
    outcome const o = run(p, directory, "--tokens " + p.tokens + " --report " + d.file("report.json"));
    EXPECT_EQ(o.code, 0) << o.err;
    EXPECT_EQ(o.err, "");
    return o.code == 0 ? nlohmann::json::parse(content(d.file("report.json")))["logits"].dump() : "";
  }
};

TEST_F(rewritten, tensors_at_odd_addresses) {
  fs::copy(golden(p), copy);
  for (auto const& entry : fs::directory_iterator(copy)) {
    if (entry.path().extension() != ".safetensors") continue;
    std::string file = content(entry.path());
    std::uint64_t length = 0;
    std::copy_n(file.data(), 8, reinterpret_cast<char*>(&length));
    file.insert(8 + length++, 1, ' ');
    std::copy_n(reinterpret_cast<char const*>(&length), 8, file.data());
    std::ofstream(entry.path(), std::ios::binary) << file;
  }
  EXPECT_EQ(logits(copy.string()), logits(golden(p)));
}

TEST_F(rewritten, one_file_without_an_index_and_norms_in_f32) {
  deepseek_v3::checkpoint const files(golden(p));
  nlohmann::json header;
  std::string data;
  int widened = 0;
  for (auto const& [name, t] : files.tensors()) {
    std::size_t const begin = data.size();
    bool const widen = name.ends_with("norm.weight");
    widened += widen;
    // A BF16 number is the upper half of the same number in F32.
    for (std::size_t i = 0; i < t.bytes; ++i) data.append(widen && i % 2 == 0 ? 2 : 0, '\0').push_back(static_cast<char>(t.data[i]));
    char const* const type = widen                                   ? "F32"
                             : t.type == deepseek_v3::dtype::f8_e4m3 ? "F8_E4M3"
                             : t.type == deepseek_v3::dtype::bf16    ? "BF16"
                                                                     : "F32";
    header[name] = {{"dtype", type}, {"shape", t.shape}, {"data_offsets", {begin, data.size()}}};
  }
  EXPECT_GT(widened, 4);
  fs::create_directory(copy);
  fs::copy(golden(p) + "/config.json", copy);
  std::ofstream(copy / "model.safetensors", std::ios::binary) << safetensors(header.dump(), data);
  EXPECT_EQ(logits(copy.string()), logits(golden(p)));
}

TEST(golden_checkpoints, have_scales_in_other_shards_than_their_weights) {
  auto const map = nlohmann::json::parse(content(std::string(MOESAIC_CHECKPOINTS) + "/tiny_a/model.safetensors.index.json"))["weight_map"];
  int apart = 0;
  for (auto const& [name, shard] : map.items()) apart += map.contains(name + "_scale_inv") && map[name + "_scale_inv"] != shard;
  EXPECT_GT(apart, 10);
}

/// A copy of a golden checkpoint that a test may spoil, and what the program then says.
struct bad_input : run_program {
  program const& p = programs[0];
  fs::path const copy = d.path / "copy";
  fs::path const report = d.path / "report.json";

  bad_input() { fs::copy(golden(p), copy); }

  /// The one line on stderr; exit code 1, and no report, not even a partial one.
  std::string line(std::string const& arguments) const {
    outcome const o = run(p, copy.string(), arguments + " --report " + report.string());
    EXPECT_EQ(o.code, 1);
    EXPECT_EQ(o.out, "");
    for (auto const& entry : fs::directory_iterator(d.path)) EXPECT_EQ(entry.path().string().find(report.string()), std::string::npos);
    EXPECT_FALSE(o.err.empty());
    EXPECT_EQ(o.err.find('\n'), o.err.size() - 1) << o.err;
    return o.err.substr(0, o.err.size() - 1);
  }
  std::string line() const { return line("--tokens 1,17"); }

  fs::path shard(int i) const { return copy / ("model-0000" + std::to_string(i) + "-of-000003.safetensors"); }

  /// Overwrites bytes of a tensor: `at` counts from its first byte.
  std::string spoil(std::string const& tensor, std::uint64_t at, std::string const& bytes) const {
    for (int i : {1, 2, 3}) {
      std::string const file = content(shard(i));
      std::uint64_t length = 0;
      std::copy_n(file.data(), 8, reinterpret_cast<char*>(&length));
      nlohmann::json const header = nlohmann::json::parse(file.substr(8, length));
      if (!header.contains(tensor)) continue;
      std::fstream f(shard(i), std::ios::in | std::ios::out | std::ios::binary);
      f.seekp(static_cast<std::streamoff>(8 + length + header[tensor]["data_offsets"][0].get<std::uint64_t>() + at));
      f << bytes;
      return shard(i).string();
    }
    ADD_FAILURE() << tensor;
    return "";
  }
};

TEST_F(bad_input, no_tokens_at_all) { EXPECT_NE(line("").find("--tokens"), std::string::npos); }
TEST_F(bad_input, missing_directory) {
  fs::remove_all(copy);
  EXPECT_EQ(line().find((copy / "config.json").string() + ": "), 0U);
}
TEST_F(bad_input, missing_shard) {
  fs::remove(shard(2));
  EXPECT_EQ(line(), shard(2).string() + ": cannot be opened: No such file or directory");
}
TEST_F(bad_input, truncated_shard) {
  fs::resize_file(shard(3), fs::file_size(shard(3)) - 1);
  std::string const l = line();
  EXPECT_EQ(l.find(shard(3).string() + ": tensor '"), 0U) << l;
  EXPECT_NE(l.find("the file is truncated"), std::string::npos) << l;
}
TEST_F(bad_input, nan_scale) {
  std::string const tensor = "model.layers.2.mlp.experts.5.up_proj.weight_scale_inv";
  std::string const file = spoil(tensor, 4, std::string("\x00\x00\xc0\x7f", 4));
  EXPECT_EQ(line(), file + ": tensor '" + tensor + "' holds nan at element 1");
}
TEST_F(bad_input, nan_code) {
  std::string const tensor = "model.layers.0.self_attn.o_proj.weight";
  std::string const file = spoil(tensor, 77, "\x7f");
  EXPECT_EQ(line(), file + ": tensor '" + tensor + "' holds a NaN code at element 77");
}
TEST_F(bad_input, wrong_dtype_in_a_shard) {
  std::string file = content(shard(1));
  auto const at = file.find(R"("model.embed_tokens.weight":{"dtype":"BF16")");
  ASSERT_NE(at, std::string::npos);
  file.replace(file.find("BF16", at), 4, "F16\"");      // one character less for the name …
  file.replace(file.find("F16\"\"", at), 5, "F16\" ");  // … and a blank behind it
  std::ofstream(shard(1), std::ios::binary) << file;
  EXPECT_EQ(line(), shard(1).string() + ": tensor 'model.embed_tokens.weight' has dtype F16, the model needs BF16");
}
TEST_F(bad_input, escaping_path_in_the_index) {
  fs::path const index = copy / "model.safetensors.index.json";
  nlohmann::json j = nlohmann::json::parse(content(index));
  j["weight_map"]["model.norm.weight"] = "../../etc/passwd";
  std::ofstream(index) << j.dump();
  EXPECT_EQ(line(), index.string() + ": tensor 'model.norm.weight': shard '../../etc/passwd' is not a plain file name");
}
TEST_F(bad_input, prediction_layer_with_another_shape) {
  std::string file = content(shard(3));
  auto const at = file.find(R"("model.layers.4.enorm.weight")");
  ASSERT_NE(at, std::string::npos);
  auto const shape = file.find("[256]", at);
  ASSERT_LT(shape - at, 120U);
  // Same bytes, other shape; the padding of the header makes room.
  std::uint64_t length = 0;
  std::copy_n(file.data(), 8, reinterpret_cast<char*>(&length));
  file.replace(shape, 5, "[2,128]");
  length += 2;
  std::copy_n(reinterpret_cast<char const*>(&length), 8, file.data());
  std::ofstream(shard(3), std::ios::binary) << file;
  EXPECT_EQ(line(), shard(3).string() + ": tensor 'model.layers.4.enorm.weight' has shape [2, 128], the model needs [256]");
}
TEST_F(bad_input, token_ids_outside_the_vocabulary) {
  std::string const l = line("--tokens 1,512");
  EXPECT_NE(l.find("512"), std::string::npos) << l;
  EXPECT_NE(line("--tokens 1,-1").find("-1"), std::string::npos);
  EXPECT_NE(line("--tokens 1,99999999999999999999").find("99999999999999999999"), std::string::npos);
  EXPECT_NE(line("--tokens 1,x").find("x"), std::string::npos);
  EXPECT_NE(line("--tokens ,").find("--tokens"), std::string::npos);
}
TEST_F(bad_input, tokens_files) {
  EXPECT_NE(line("--tokens-file /nonexistent").find("/nonexistent"), std::string::npos);
  d.write("empty", "");
  EXPECT_NE(line("--tokens-file " + d.file("empty")).find(d.file("empty")), std::string::npos);
}
TEST_F(bad_input, config_of_another_model_names_every_key) {
  nlohmann::json j = nlohmann::json::parse(content(copy / "config.json"));
  j["kv_lora_rank"] = 160;
  j["topk_group"] = 3;
  j["rms_norm_eps"] = 1e-5;
  std::ofstream(copy / "config.json") << j.dump();
  outcome const o = run(p, copy.string(), "--tokens 1 --report " + report.string());
  EXPECT_EQ(o.code, 1);
  EXPECT_FALSE(fs::exists(report));
  for (char const* expected : {"kv_lora_rank: config.json has 160, this program was built for 96\n",
                               "topk_group: config.json has 3, this program was built for 2\n",
                               "rms_norm_eps: config.json has 1e-05, this program was built for 1e-06\n"})
    EXPECT_NE(o.err.find(expected), std::string::npos) << o.err;
}
TEST_F(bad_input, backend_that_nobody_knows) { EXPECT_NE(line("--tokens 1 --backend gpu").find("--backend"), std::string::npos); }
TEST_F(bad_input, report_that_cannot_be_written) {
  outcome const o = run(p, copy.string(), "--tokens 1 --report /nonexistent/report.json");
  EXPECT_EQ(o.code, 1);
  EXPECT_NE(o.err.find("/nonexistent/report.json"), std::string::npos) << o.err;
}

}  // namespace
