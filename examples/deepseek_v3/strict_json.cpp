#include "strict_json.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <system_error>
#include <vector>

#include "checkpoint.hpp"

namespace deepseek_v3 {
namespace {

/// More than any file here needs, and little enough for the JSON library's recursions.
constexpr int deepest = 64;

}  // namespace

nlohmann::json parse_json(std::string const& file, std::string const& text) {
  // Keys are watched as they come: the DOM alone would keep the last of two silently.
  std::vector<std::set<std::string>> open;
  std::string twice;
  auto watch = [&](int depth, nlohmann::json::parse_event_t event, nlohmann::json& value) {
    if (depth > deepest) throw input_error(file + ": is nested deeper than " + std::to_string(deepest) + " levels");
    if (event == nlohmann::json::parse_event_t::object_start) open.emplace_back();
    if (event == nlohmann::json::parse_event_t::object_end) open.pop_back();
    if (event == nlohmann::json::parse_event_t::key && !open.back().insert(value.get<std::string>()).second && twice.empty())
      twice = value.get<std::string>();
    return true;
  };
  // nlohmann's lexer would take it for the end of the text.
  if (text.find('\0') != text.npos) throw input_error(file + ": is not JSON: it has a zero byte");
  nlohmann::json parsed;
  try {
    parsed = nlohmann::json::parse(text, watch);
  } catch (nlohmann::json::exception const& e) {
    throw input_error(file + ": is not JSON: " + e.what());
  }
  if (!twice.empty()) throw input_error(file + ": key '" + twice + "' is given twice");
  return parsed;
}

nlohmann::json read_json(std::filesystem::path const& path) {
  std::error_code ignored;
  if (std::filesystem::exists(path, ignored) && !std::filesystem::is_regular_file(path, ignored))
    throw input_error(path.string() + ": is not a regular file");
  std::ifstream in(path, std::ios::binary);
  if (!in) throw input_error(path.string() + ": cannot be opened: " + std::strerror(errno));
  std::string const text((std::istreambuf_iterator<char>(in)), {});
  if (in.bad()) throw input_error(path.string() + ": cannot be read");
  return parse_json(path.string(), text);
}

}  // namespace deepseek_v3
