// JSON files read without forgiveness: syntax errors and keys given twice are errors that name the file.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

namespace deepseek_v3 {

/// `text` is the content of `file`. Throws input_error, its line beginning with `file`.
nlohmann::json parse_json(std::string const& file, std::string const& text);

/// Throws input_error.
nlohmann::json read_json(std::filesystem::path const& path);

}  // namespace deepseek_v3
