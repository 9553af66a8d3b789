#include "check.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

namespace deepseek_v3 {

golden read_golden(std::string const& path, std::string const& name, std::vector<int> const& tokens) {
  std::ifstream file(path);
  if (!file || std::filesystem::is_directory(path)) throw input_error(path + ": cannot be read");
  try {
    nlohmann::json const all = nlohmann::json::parse(file);
    if (!all.contains(name)) throw input_error(path + ": there is no case '" + name + "'");
    nlohmann::json const& one = all.at(name);
    if (one.at("tokens").get<std::vector<int>>() != tokens) throw input_error(path + ": case '" + name + "' is about other tokens");
    return {one.at("logits").get<decltype(golden::logits)>(), one.at("routing").at("experts_all").get<decltype(golden::experts)>()};
  } catch (nlohmann::json::exception const& e) {
    throw input_error(path + ": case '" + name + "': " + e.what());
  }
}

agreement compare(golden const& expected, forward_result const& got) {
  auto same_size = [](std::size_t a, std::int64_t b, char const* what) {
    if (static_cast<std::int64_t>(a) != b)
      throw input_error("the golden case has " + std::to_string(a) + " " + what + ", the model " + std::to_string(b));
  };
  same_size(expected.logits.size(), got.tokens, "rows of logits");
  same_size(expected.experts.size(), got.moe_layers, "layers of experts");

  agreement a{.nmse = 0,
              .max_error = 0,
              .tokens = got.tokens,
              .same_argmax = 0,
              .choices = got.moe_layers * got.tokens,
              .same_experts = 0,
              .differences = {}};
  auto differs = [&](std::string line) {
    if (a.differences.size() < 12) a.differences.push_back(std::move(line));
  };
  auto listed = [](auto const* first, std::int64_t count) {
    std::string s;
    for (std::int64_t i = 0; i < count; ++i) s += ' ' + std::to_string(first[i]);
    return s;
  };
  double error = 0, energy = 0;
  for (std::int64_t t = 0; t < got.tokens; ++t) {
    std::vector<double> const& row = expected.logits[static_cast<std::size_t>(t)];
    same_size(row.size(), got.vocab_size, "logits a token");
    double largest_error = 0, largest = 0;
    for (std::size_t v = 0; v < row.size(); ++v) {
      double const d = std::abs(got.logits_of(t)[v] - row[v]);
      if (!(d <= largest_error)) largest_error = d;  // lets a NaN through
      largest = std::max(largest, std::abs(row[v]));
      error += d * d;
      energy += row[v] * row[v];
    }
    if (!(largest_error / largest <= a.max_error)) a.max_error = largest_error / largest;
    std::int64_t const best = std::ranges::max_element(row) - row.begin();
    a.same_argmax += best == got.argmax(t);
    if (best != got.argmax(t) || !(largest_error <= 1e-4 * largest))
      differs("token " + std::to_string(t) + ": largest error of a logit " + std::to_string(largest_error) + ", argmax " +
              std::to_string(got.argmax(t)) + " instead of " + std::to_string(best));
  }
  a.nmse = error / energy;

  std::int32_t const* next = got.experts.data();
  std::int64_t moe_layer = 0;
  for (auto const& layer : expected.experts) {
    std::int64_t token = 0;
    same_size(layer.size(), got.tokens, "tokens with experts");
    for (std::vector<int> const& choice : layer) {
      same_size(choice.size(), got.top_k, "experts a token");
      bool const same = std::equal(choice.begin(), choice.end(), next);
      a.same_experts += same;
      if (!same)
        differs("MoE layer " + std::to_string(moe_layer) + ", token " + std::to_string(token) + ": experts" + listed(next, got.top_k) +
                " instead of" + listed(choice.data(), got.top_k));
      next += got.top_k;
      ++token;
    }
    ++moe_layer;
  }
  return a;
}

}  // namespace deepseek_v3
