// The writer's weights are golden.py's, bit for bit.
#include "hash_weights.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

namespace {

using namespace deepseek_v3;

nlohmann::json read(char const* file) { return nlohmann::json::parse(std::ifstream(std::string(MOESAIC_FIXTURES) + "/" + file)); }

TEST(hash_weights, codes_and_scales_equal_the_oracles) {
  for (char const* file : {"golden_full.json", "golden_extra.json"}) {
    nlohmann::json const cases = read(file);
    for (auto const& [name, c] : cases.items()) {
      auto const& config = c["config"];
      for (auto const& [tensor, sample] : c["sample"].items()) {
        if (!sample.is_object()) continue;
        bool const attention = tensor.find("kv_a_proj") != std::string::npos;
        std::int64_t const hidden = config["H"], inter = config["MI"];
        std::int64_t const out = attention ? config["kl"].get<std::int64_t>() + config["dr"].get<std::int64_t>() : hidden;
        std::int64_t const in = attention ? hidden : inter;
        fp8_matrix const q = quantize_blocks(hash_matrix(tensor, out, in, 1.0), out, in);
        for (std::size_t i = 0; i < sample["codes"].size(); ++i) EXPECT_EQ(q.codes[i], sample["codes"][i]) << name << ' ' << tensor;
        for (std::size_t i = 0; i < sample["scale"].size(); ++i)
          EXPECT_EQ(q.scales[i], static_cast<float>(sample["scale"][i].get<double>())) << name << ' ' << tensor;
        EXPECT_EQ(static_cast<std::int64_t>(q.scales.size()),
                  sample["grid"][0].get<std::int64_t>() * sample["grid"][1].get<std::int64_t>());
      }
      std::int64_t const vocab = config["V"], hidden = config["H"];
      std::string const tensor = "model.embed_tokens.weight";
      auto const embed = hash_matrix(tensor, vocab, hidden, std::sqrt(static_cast<double>(hidden)));
      for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(moesaic::to_float(moesaic::to_bf16(embed[i])), c["sample"][tensor][i].get<double>());
    }
  }
}

}  // namespace
