// config.json of a Hugging Face directory, as far as the forward pass depends on it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "model_config.hpp"

namespace deepseek_v3 {

/// What a config.json says. Read from either spelling of the rope settings, and from a nested text_config.
struct hf_config {
  model_config model;
};

/// Reads `file`. Throws input_error naming file, key and value: a key that is missing or of the wrong type, a setting that this example
/// does not implement (attention bias, another activation, router or quantisation), or sizes that no layer could have.
hf_config read_hf_config(std::filesystem::path const& file);

/// The same for a `file` whose content is `text`.
hf_config parse_hf_config(std::string const& file, std::string const& text);

/// One line for every key whose value in the file differs from the model that a program was compiled for; empty if there is none.
std::vector<std::string> differences(model_config const& compiled, hf_config const& file);

}  // namespace deepseek_v3
