#include "tokens.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "checkpoint.hpp"

namespace deepseek_v3 {

std::vector<int> parse_tokens(std::string const& text, std::string const& where, int vocab_size) {
  char const* const separators = ", \t\r\n";
  std::vector<int> ids;
  for (std::size_t at = text.find_first_not_of(separators); at != text.npos;) {
    std::size_t const end = std::min(text.find_first_of(separators, at), text.size());
    std::string const word = text.substr(at, end - at);
    int id = -1;
    auto const [stop, error] = std::from_chars(word.data(), word.data() + word.size(), id);
    if (error != std::errc() || stop != word.data() + word.size() || id < 0 || id >= vocab_size)
      throw input_error(where + ": token " + std::to_string(ids.size()) + " is '" + word.substr(0, 40) + "', expected an id from 0 to " +
                        std::to_string(vocab_size - 1));
    ids.push_back(id);
    at = text.find_first_not_of(separators, end);
  }
  if (ids.empty()) throw input_error(where + ": there are no tokens");
  return ids;
}

std::vector<int> read_tokens(std::string const& path, int vocab_size) {
  std::ifstream file(path, std::ios::binary);
  if (!file || std::filesystem::is_directory(path)) throw input_error(path + ": cannot be read");
  return parse_tokens({std::istreambuf_iterator<char>(file), {}}, path, vocab_size);
}

}  // namespace deepseek_v3
