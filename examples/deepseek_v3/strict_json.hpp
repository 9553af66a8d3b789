// JSON files read without forgiveness: syntax errors and keys given twice are errors that name the file.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

namespace deepseek_v3 {

/// Throws input_error.
nlohmann::json read_json(std::filesystem::path const& path);

}  // namespace deepseek_v3
