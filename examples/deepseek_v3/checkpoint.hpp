// A Hugging Face checkpoint directory seen as named tensors: every shard mapped and validated when it is opened.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace deepseek_v3 {

/// Text that quotes a file, as one harmless line: control characters, which a hostile name may hold, become question marks.
inline std::string one_line(std::string s) {
  for (char& c : s)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return s;
}

/// Bad input. what() is one line that names the file, the tensor or key, and the value.
struct input_error : std::runtime_error {
  explicit input_error(std::string line) : std::runtime_error(one_line(std::move(line))) {}
};

enum class dtype { f32, bf16, f16, f8_e4m3, other };

struct tensor {
  std::string name;
  dtype type;
  std::vector<std::int64_t> shape;
  std::byte const* data;  // mapped read-only; possibly unaligned
  std::size_t bytes;
  std::string file;
};

class checkpoint {
 public:
  /// Opens `directory`: model.safetensors.index.json and its shards, or a single model.safetensors. Throws input_error.
  explicit checkpoint(std::filesystem::path const& directory);
  ~checkpoint();
  checkpoint(checkpoint const&) = delete;
  checkpoint& operator=(checkpoint const&) = delete;

  /// The tensor of that name, with the dtype and shape that the model needs. Throws input_error if it is missing or different.
  tensor const& at(std::string const& name, dtype type, std::initializer_list<std::int64_t> shape) const;
  bool has(std::string const& name) const { return tensors_.contains(name); }
  std::map<std::string, tensor> const& tensors() const { return tensors_; }

  /// Things worth telling that are no errors (a shard's tensor that the index does not list, a wrong total_size), a line each.
  std::vector<std::string> const& warnings() const { return warnings_; }

 private:
  struct mapping;
  std::string directory_;
  std::vector<std::unique_ptr<mapping>> mappings_;
  std::map<std::string, tensor> tensors_;
  std::vector<std::string> warnings_;
};

/// Throws input_error if an E4M3 code is NaN or a scale is not finite: values that kernels never look for again.
void validate_fp8(tensor const& codes, tensor const& scales);

}  // namespace deepseek_v3
