#include "safetensors.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

namespace deepseek_v3 {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian and used in place");

constexpr std::uint64_t longest_header = 100'000'000;
constexpr std::size_t most_dimensions = 8;

struct element {
  std::string_view name;
  std::uint64_t bits;
  dtype type;
};
constexpr element elements[] = {
    {"BOOL", 8, dtype::other},    {"F4", 4, dtype::other},          {"F6_E2M3", 6, dtype::other},     {"F6_E3M2", 6, dtype::other},
    {"U8", 8, dtype::other},      {"I8", 8, dtype::other},          {"F8_E5M2", 8, dtype::other},     {"F8_E4M3", 8, dtype::f8_e4m3},
    {"F8_E8M0", 8, dtype::other}, {"F8_E4M3FNUZ", 8, dtype::other}, {"F8_E5M2FNUZ", 8, dtype::other}, {"I16", 16, dtype::other},
    {"U16", 16, dtype::other},    {"F16", 16, dtype::f16},          {"BF16", 16, dtype::bf16},        {"I32", 32, dtype::other},
    {"U32", 32, dtype::other},    {"F32", 32, dtype::f32},          {"C64", 64, dtype::other},        {"F64", 64, dtype::other},
    {"I64", 64, dtype::other},    {"U64", 64, dtype::other},
};

struct entry {
  std::string name;
  element const* type = nullptr;
  bool has_shape = false, has_offsets = false;
  std::vector<std::uint64_t> shape, offsets;
};

/// Receives the header as it is parsed, so that a key given twice is seen (a DOM keeps the last one silently) and depth is bounded by
/// the schema itself.
class header_reader : public nlohmann::json_sax<nlohmann::json> {
 public:
  std::vector<entry> entries;
  std::string problem;

  bool key(std::string& k) override {
    if (depth_ == 1) {
      if (!names_.insert(k).second) return refuse("tensor '" + k + "' is given twice");
      current_ = k;
      if (k != "__metadata__") entries.emplace_back().name = k;
      return true;
    }
    key_ = k;
    if (in_metadata()) return metadata_.insert(k).second || refuse("__metadata__ has '" + k + "' twice");
    entry const& e = entries.back();
    if (k != "dtype" && k != "shape" && k != "data_offsets") return refuse(at() + "unknown key '" + k + "'");
    if ((k == "dtype" && e.type) || (k == "shape" && e.has_shape) || (k == "data_offsets" && e.has_offsets))
      return refuse(at() + "key '" + k + "' is given twice");
    return true;
  }
  bool start_object(std::size_t) override {
    if (array_ || depth_ == 2) return refuse("the header is nested too deep");
    ++depth_;
    return true;
  }
  bool end_object() override {
    --depth_;
    if (depth_ == 1 && !in_metadata()) {
      entry const& e = entries.back();
      if (!e.type) return refuse(at() + "dtype is missing");
      if (!e.has_shape) return refuse(at() + "shape is missing");
      if (!e.has_offsets) return refuse(at() + "data_offsets are missing");
    }
    return true;
  }
  bool start_array(std::size_t) override {
    if (depth_ != 2 || in_metadata() || array_ || key_ == "dtype") return refuse(at() + "an array where none belongs");
    array_ = true;
    (key_ == "shape" ? entries.back().has_shape : entries.back().has_offsets) = true;
    return true;
  }
  bool end_array() override {
    array_ = false;
    if (key_ == "data_offsets" && list().size() != 2)
      return refuse(at() + "data_offsets has " + std::to_string(list().size()) + " numbers, not 2");
    return true;
  }
  bool number_unsigned(number_unsigned_t v) override {
    if (!array_) return refuse(at() + "a number where none belongs");
    if (key_ == "shape" && list().size() == most_dimensions) return refuse(at() + "shape has more than 8 dimensions");
    list().push_back(v);
    return true;
  }
  bool string(string_t& v) override {
    if (in_metadata()) return depth_ == 2 || refuse("__metadata__ is not an object");
    if (depth_ != 2 || array_ || key_ != "dtype") return refuse(at() + "a string where none belongs");
    auto const* const found = std::find_if(std::begin(elements), std::end(elements), [&](element const& e) { return e.name == v; });
    if (found == std::end(elements)) return refuse(at() + "dtype '" + v + "' is unknown");
    entries.back().type = found;
    return true;
  }
  bool number_integer(number_integer_t v) override { return refuse(at() + std::to_string(v) + " is not an unsigned integer"); }
  bool number_float(number_float_t, string_t const& text) override { return refuse(at() + text + " is not an unsigned integer"); }
  bool null() override { return refuse(at() + "null where none belongs"); }
  bool boolean(bool) override { return refuse(at() + "a boolean where none belongs"); }
  bool binary(binary_t&) override { return refuse("binary data in the header"); }
  bool parse_error(std::size_t position, std::string const&, nlohmann::detail::exception const& e) override {
    // The library names invalid UTF-8 and bad syntax alike in its text; a line of ours says where.
    std::string what = e.what();
    bool const utf8 = what.find("UTF-8") != std::string::npos;
    return refuse(std::string(utf8 ? "the header is not UTF-8" : "the header is not JSON") + ", at its byte " + std::to_string(position));
  }

 private:
  bool in_metadata() const { return current_ == "__metadata__"; }
  std::string at() const { return current_.empty() ? std::string("header: ") : "tensor '" + current_ + "': "; }
  bool refuse(std::string why) {
    if (problem.empty()) problem = std::move(why);
    return false;
  }
  std::vector<std::uint64_t>& list() { return key_ == "shape" ? entries.back().shape : entries.back().offsets; }

  int depth_ = 0;
  bool array_ = false;
  std::string current_, key_;
  std::set<std::string> names_, metadata_;
};

/// What nlohmann's lexer would forgive: another beginning, such as a byte order mark, and a zero byte, which it takes for the end.
std::optional<std::string> strictly_no_header(std::string_view text) {
  std::size_t const first = text.find_first_not_of(" \t\r\n");
  if (first == text.npos || text[first] != '{') return "the header does not begin with '{'";
  if (std::size_t const zero = text.find('\0'); zero != text.npos)
    return "the header has a zero byte, at its byte " + std::to_string(zero + 1);
  return std::nullopt;
}

/// ∏ shape · bits / 8, or nothing on overflow or a part of a byte.
std::optional<std::uint64_t> byte_size(std::vector<std::uint64_t> const& shape, std::uint64_t bits) {
  std::uint64_t product = bits;
  for (std::uint64_t const d : shape)
    if (__builtin_mul_overflow(product, d, &product)) return std::nullopt;
  if (product % 8 != 0) return std::nullopt;
  return product / 8;
}

}  // namespace

std::vector<tensor> read_safetensors(std::string const& file, std::span<std::byte const> bytes) {
  auto refuse = [&](std::string const& why) -> void { throw input_error(file + ": " + why); };
  if (bytes.size() < 8) refuse("is " + std::to_string(bytes.size()) + " bytes long, too short for a safetensors file");
  std::uint64_t header = 0;
  std::memcpy(&header, bytes.data(), 8);
  if (header > longest_header) refuse("announces a header of " + std::to_string(header) + " bytes, the most allowed are 100000000");
  if (header > bytes.size() - 8)
    refuse("announces a header of " + std::to_string(header) + " bytes and is only " + std::to_string(bytes.size()) + " bytes long");

  std::string_view const text(reinterpret_cast<char const*>(bytes.data() + 8), header);
  if (auto const problem = strictly_no_header(text)) refuse(*problem);
  header_reader reader;
  bool const parsed = nlohmann::json::sax_parse(text, &reader);
  if (!parsed) refuse(reader.problem.empty() ? "the header is not JSON" : reader.problem);

  auto& entries = reader.entries;
  std::sort(entries.begin(), entries.end(), [](entry const& a, entry const& b) { return a.offsets < b.offsets; });
  std::span<std::byte const> const data = bytes.subspan(8 + header);
  std::vector<tensor> tensors;
  std::uint64_t end = 0;
  for (entry const& e : entries) {
    std::string const name = "tensor '" + e.name + "': ";
    std::uint64_t const first = e.offsets[0], last = e.offsets[1];
    std::string const range = "data_offsets [" + std::to_string(first) + ", " + std::to_string(last) + "]";
    if (last < first) refuse(name + range + " end before they begin");
    if (first < end) refuse(name + range + " overlap the tensor before, which ends at " + std::to_string(end));
    if (first > end) refuse(name + range + " leave a hole after " + std::to_string(end));
    auto const size = byte_size(e.shape, e.type->bits);
    if (!size) refuse(name + "its shape and dtype give no whole number of bytes below 2^64");
    for (std::uint64_t const d : e.shape)  // a 0 beside it hides it from the size
      if (!std::in_range<std::int64_t>(d)) refuse(name + "shape has " + std::to_string(d) + ", which is above 2^63 - 1");
    if (*size != last - first)
      refuse(name + range + " hold " + std::to_string(last - first) + " bytes, shape and dtype need " + std::to_string(*size));
    if (last > data.size())
      refuse(name + range + " end behind the file's data, which is " + std::to_string(data.size()) + " bytes long: the file is truncated");
    end = last;
    tensors.push_back({e.name, e.type->type, {e.shape.begin(), e.shape.end()}, data.data() + first, static_cast<std::size_t>(*size), file});
  }
  if (end != data.size())
    refuse("its tensors end at " + std::to_string(end) + " and its data is " + std::to_string(data.size()) + " bytes long");
  return tensors;
}

}  // namespace deepseek_v3
