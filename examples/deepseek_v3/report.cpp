#include "report.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <numeric>
#include <ostream>
#include <system_error>
#include <utility>

namespace deepseek_v3 {
namespace {

/// A flat array as nested JSON arrays of the given extents.
template <class T>
nlohmann::json nested(T const*& next, std::vector<std::int64_t> const& extents, std::size_t level = 0) {
  nlohmann::json array = nlohmann::json::array();
  for (std::int64_t i = 0; i < extents[level]; ++i) {
    if (level + 1 < extents.size())
      array.push_back(nested(next, extents, level + 1));
    else
      array.push_back(*next++);
  }
  return array;
}

template <class T>
nlohmann::json nested(std::vector<T> const& flat, std::vector<std::int64_t> const& extents) {
  T const* next = flat.data();
  return nested(next, extents);
}

}  // namespace

void print_summary(std::ostream& out, forward_result const& r, int count) {
  float const* const logits = r.logits_of(r.tokens - 1);
  double const largest = *std::max_element(logits, logits + r.vocab_size);
  double const total =
      std::accumulate(logits, logits + r.vocab_size, 0.0, [&](double sum, float z) { return sum + std::exp(double{z} - largest); });

  std::vector<std::int64_t> order(static_cast<std::size_t>(r.vocab_size));
  std::iota(order.begin(), order.end(), 0);
  auto const end = order.begin() + std::clamp<std::int64_t>(count, 0, r.vocab_size);
  std::partial_sort(order.begin(), end, order.end(),
                    [&](std::int64_t a, std::int64_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; });

  out << "next token  probability      logit\n" << std::fixed;
  for (auto v = order.begin(); v != end; ++v)
    out << std::setw(10) << *v << std::setw(13) << std::setprecision(6) << std::exp(double{logits[*v]} - largest) / total << std::setw(11)
        << std::setprecision(4) << logits[*v] << '\n';

  out << r.tokens << " tokens, " << std::setprecision(3) << static_cast<double>(r.weight_bytes) * 1e-9 << " GB of weights; seconds:";
  for (stage_time const& t : r.timings) out << "  " << t.stage << ' ' << t.seconds;
  out << '\n';
}

report_file::report_file(std::string path) : path_(std::move(path)), partial_(path_ + ".partial"), file_(partial_) {
  if (!file_ || std::filesystem::is_directory(path_)) throw input_error(path_ + ": cannot be written");
}

report_file::~report_file() {
  std::error_code ignored;
  std::filesystem::remove(partial_, ignored);  // gone already if it was renamed
}

void report_file::write(forward_result const& r, std::vector<int> const& tokens) {
  std::vector<std::int64_t> argmax;
  for (std::int64_t t = 0; t < r.tokens; ++t) argmax.push_back(r.argmax(t));
  nlohmann::json timings = nlohmann::json::object();
  for (stage_time const& t : r.timings) timings[t.stage] = t.seconds;

  file_ << nlohmann::json{{"tokens", tokens},
                          {"logits", nested(r.logits, {r.tokens, r.vocab_size})},
                          {"argmax", argmax},
                          {"experts", nested(r.experts, {r.moe_layers, r.tokens, r.top_k})},
                          {"expert_weights", nested(r.expert_weights, {r.moe_layers, r.tokens, r.top_k})},
                          {"timings", timings},
                          {"bytes", r.weight_bytes}};
  file_.close();
  std::error_code error;
  if (file_) std::filesystem::rename(partial_, path_, error);
  if (!file_ || error) throw input_error(path_ + ": cannot be written");
}

}  // namespace deepseek_v3
