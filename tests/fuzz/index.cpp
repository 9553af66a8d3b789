// Any bytes as a model.safetensors.index.json beside two good shards and a bad one: refused with a line that names a file of the directory,
// or exactly the tensors that the index lists.
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "checkpoint.hpp"
#include "target.hpp"

using namespace deepseek_v3;

namespace {

void write(std::filesystem::path const& file, std::string_view content) { std::ofstream(file, std::ios::binary) << content; }

void write_shard(std::filesystem::path const& file, std::string const& header, std::string const& data) {
  std::uint64_t const length = header.size();
  write(file, std::string(reinterpret_cast<char const*>(&length), 8) + header + data);
}

struct directory {
  std::filesystem::path path;
  directory() : path(std::filesystem::temp_directory_path() / ("moesaic.fuzz." + std::to_string(getpid()))) {
    std::filesystem::create_directories(path);
    write_shard(path / "1", R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})",
                "abc");
    write_shard(path / "2", R"({"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"c":{"dtype":"U8","shape":[0],"data_offsets":[4,4]}})",
                "abcd");
    write(path / "3", "not safetensors");
  }
  ~directory() { std::filesystem::remove_all(path); }
  directory(directory const&) = delete;
  directory& operator=(directory const&) = delete;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  static directory const d;
  std::string const index = d.path / "model.safetensors.index.json";
  write(index, std::string_view(reinterpret_cast<char const*>(data), size));
  try {
    checkpoint const files(d.path);
    for (auto const& [name, t] : files.tensors()) {
      always(name == t.name && (name == "a" || name == "b" || name == "c"), "tensors come from the shards", name);
      always(t.file == d.path / "1" || t.file == d.path / "2", "shards come from the directory", t.file);
      unsigned sum = 0;
      for (std::size_t i = 0; i < t.bytes; ++i) sum += std::to_integer<unsigned>(t.data[i]);
      always(sum <= 'd' * t.bytes, "tensors hold what their shard holds", name);
    }
    for (std::string const& w : files.warnings())
      for (char const c : w) always(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f, "a warning is one line", w);
  } catch (input_error const& e) {
    std::string_view const line = e.what();
    always(line.starts_with(d.path.string() + "/"), "an error begins with the name of its file", line);
    std::size_t const end = line.find(": ");
    always(end != line.npos, "an error says what is wrong", line);
    check_refusal(line, line.substr(0, end));
  }
  return 0;
}
