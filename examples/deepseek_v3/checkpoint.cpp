#include "checkpoint.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <span>

#include "safetensors.hpp"
#include "strict_json.hpp"

namespace deepseek_v3 {
namespace {

char const* name_of(dtype t) {
  switch (t) {
    case dtype::f32: return "F32";
    case dtype::bf16: return "BF16";
    case dtype::f16: return "F16";
    case dtype::f8_e4m3: return "F8_E4M3";
    case dtype::other: break;
  }
  return "another dtype";
}

template <class Shape>
std::string text_of(Shape const& shape) {
  std::string s = "[";
  for (auto const d : shape) s += (s.size() > 1 ? ", " : "") + std::to_string(d);
  return s + "]";
}

bool is_plain_name(std::string const& name) {
  return !name.empty() && name != "." && name != ".." && name.find_first_of(std::string("/\\\0", 3)) == std::string::npos;
}

}  // namespace

/// A file mapped read-only. A file that shrinks while it is mapped ends the process with SIGBUS, as for every mmap reader: writers that
/// replace files by renaming, as safetensors' own does, are safe.
struct checkpoint::mapping {
  std::byte const* data = nullptr;
  std::size_t size = 0;

  explicit mapping(std::string const& path) {
    int const fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe keeps nobody waiting: it is refused below
    if (fd < 0) throw input_error(path + ": cannot be opened: " + std::strerror(errno));
    struct stat before = {};
    struct stat after = {};
    bool const is_file = fstat(fd, &before) == 0 && S_ISREG(before.st_mode);
    if (is_file && before.st_size > 0) {
      size = static_cast<std::size_t>(before.st_size);
      void* const p = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
      data = p == MAP_FAILED ? nullptr : static_cast<std::byte const*>(p);
    }
    bool const same = fstat(fd, &after) == 0 && after.st_size == before.st_size;
    close(fd);
    if (!is_file) throw input_error(path + ": is not a regular file");
    if (size > 0 && data == nullptr) throw input_error(path + ": cannot be mapped: " + std::strerror(errno));
    if (!same) {
      unmap();
      throw input_error(path + ": changed its size while it was opened");
    }
  }
  ~mapping() { unmap(); }
  mapping(mapping const&) = delete;
  mapping& operator=(mapping const&) = delete;

 private:
  void unmap() {
    if (data != nullptr) munmap(const_cast<std::byte*>(data), size);
    data = nullptr;
  }
};

checkpoint::checkpoint(std::filesystem::path const& directory) : directory_(directory.string()) {
  std::filesystem::path const index_path = directory / "model.safetensors.index.json";
  std::string const index = index_path.string();
  auto open_shard = [&](std::string const& name) {
    std::string const path = (directory / name).string();
    mappings_.push_back(std::make_unique<mapping>(path));
    return read_safetensors(path, std::span(mappings_.back()->data, mappings_.back()->size));
  };

  if (!std::filesystem::exists(index_path)) {
    if (!std::filesystem::exists(directory / "model.safetensors"))
      throw input_error(directory_ + ": holds neither model.safetensors.index.json nor model.safetensors");
    for (tensor& t : open_shard("model.safetensors")) tensors_.emplace(t.name, t);
    return;
  }

  nlohmann::json const j = read_json(index_path);
  if (!j.is_object() || !j.contains("weight_map") || !j["weight_map"].is_object())
    throw input_error(index + ": weight_map is missing or not an object");
  std::map<std::string, std::string> shard_of;
  std::set<std::string> shards;
  for (auto const& [name, file] : j["weight_map"].items()) {
    if (!file.is_string()) throw input_error(index + ": tensor '" + name + "': its shard is not a string");
    auto const shard = file.get<std::string>();
    if (!is_plain_name(shard)) throw input_error(index + ": tensor '" + name + "': shard '" + shard + "' is not a plain file name");
    shard_of[name] = shard;
    shards.insert(shard);
  }
  std::uint64_t total = 0;
  std::map<std::string, std::string> found_in;
  for (std::string const& shard : shards) {
    for (tensor& t : open_shard(shard)) {
      total += t.bytes;
      auto const [other, first] = found_in.emplace(t.name, shard);
      if (!first) throw input_error(t.file + ": tensor '" + t.name + "' is also in " + other->second);
      auto const listed = shard_of.find(t.name);
      if (listed == shard_of.end()) {
        warnings_.push_back(one_line(t.file + ": tensor '" + t.name + "' is not in the index and is left out"));
      } else if (listed->second != shard) {
        throw input_error(t.file + ": tensor '" + t.name + "' is here, and the index says " + listed->second);
      } else {
        tensors_.emplace(t.name, t);
      }
    }
  }
  for (auto const& [name, shard] : shard_of)
    if (!tensors_.contains(name))
      throw input_error((directory / shard).string() + ": tensor '" + name + "' is missing, and the index says it is here");
  if (auto const m = j.find("metadata"); m != j.end() && m->is_object() && m->contains("total_size")) {
    auto const& stated = (*m)["total_size"];
    if (!stated.is_number_unsigned() || stated.get<std::uint64_t>() != total)
      warnings_.push_back(one_line(index + ": total_size is " + stated.dump() + ", the shards hold " + std::to_string(total) + " bytes"));
  }
}

checkpoint::~checkpoint() = default;

tensor const& checkpoint::at(std::string const& name, dtype type, std::initializer_list<std::int64_t> shape) const {
  auto const found = tensors_.find(name);
  if (found == tensors_.end()) throw input_error(directory_ + ": tensor '" + name + "' is in none of its files");
  tensor const& t = found->second;
  if (t.type != type)
    throw input_error(t.file + ": tensor '" + name + "' has dtype " + name_of(t.type) + ", the model needs " + name_of(type));
  if (!std::equal(t.shape.begin(), t.shape.end(), shape.begin(), shape.end()))
    throw input_error(t.file + ": tensor '" + name + "' has shape " + text_of(t.shape) + ", the model needs " + text_of(shape));
  return t;
}

void validate_fp8(tensor const& codes, tensor const& scales) {
  unsigned char largest = 0;  // of the magnitudes; a maximum of bytes is what compilers vectorise well
  for (std::size_t i = 0; i < codes.bytes; ++i) {
    auto const magnitude = static_cast<unsigned char>(std::to_integer<unsigned char>(codes.data[i]) & 0x7f);
    largest = magnitude > largest ? magnitude : largest;
  }
  if (largest == 0x7f) {
    std::size_t i = 0;
    while ((codes.data[i] & std::byte{0x7f}) != std::byte{0x7f}) ++i;
    throw input_error(codes.file + ": tensor '" + codes.name + "' holds a NaN code at element " + std::to_string(i));
  }
  for (std::size_t i = 0; i < scales.bytes / sizeof(float); ++i) {
    float s = 0;
    std::memcpy(&s, scales.data + i * sizeof(float), sizeof s);
    if (!std::isfinite(s))
      throw input_error(scales.file + ": tensor '" + scales.name + "' holds " + std::to_string(s) + " at element " + std::to_string(i));
  }
}

}  // namespace deepseek_v3
