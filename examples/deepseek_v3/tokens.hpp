// Token ids as text → checked ids.
#pragma once

#include <string>
#include <vector>

namespace deepseek_v3 {

/// Ids separated by commas or white space. `where` names the text in messages. Throws input_error at what is no id in [0, vocab_size), and
/// if there are none.
std::vector<int> parse_tokens(std::string const& text, std::string const& where, int vocab_size);

/// The same from a file.
std::vector<int> read_tokens(std::string const& path, int vocab_size);

}  // namespace deepseek_v3
