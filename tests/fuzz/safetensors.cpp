// Any bytes as a safetensors file: refused with a line, or tensors that lie in its data, one behind the other, as large as they say.
#include "safetensors.hpp"

#include <set>

#include "target.hpp"

using namespace deepseek_v3;

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  auto const bytes = std::as_bytes(std::span(data, size));
  std::vector<tensor> tensors;
  try {
    tensors = read_safetensors("f", bytes);
  } catch (input_error const& e) {
    check_refusal(e.what(), "f");
    return 0;
  }
  std::byte const* const file_end = bytes.data() + bytes.size();
  std::set<std::string> names;
  std::uint64_t total = 0;
  for (tensor const& t : tensors) {
    always(names.insert(t.name).second, "a name is given once", t.name);
    always(t.data >= bytes.data() + 8 && t.data <= file_end && t.bytes <= static_cast<std::size_t>(file_end - t.data),
           "a tensor lies in its file", t.name);
    always(t.data == tensors.front().data + total, "tensors lie one behind the other", t.name);
    total += t.bytes;
    always(t.shape.size() <= 8, "a tensor has at most 8 dimensions", t.name);
    bool empty = false;
    for (std::int64_t const d : t.shape) {
      always(d >= 0, "dimensions are not negative", t.name);
      empty = empty || d == 0;
    }
    always(empty == (t.bytes == 0), "bytes are none where a dimension is 0, and only there", t.name);
    std::size_t const element = t.type == dtype::f32                            ? 4
                                : t.type == dtype::bf16 || t.type == dtype::f16 ? 2
                                : t.type == dtype::f8_e4m3                      ? 1
                                                                                : 0;
    if (element != 0 && !empty) {
      std::size_t n = t.bytes;
      always(n % element == 0, "bytes are a multiple of the element", t.name);
      n /= element;
      for (std::int64_t const d : t.shape) {
        always(n % static_cast<std::size_t>(d) == 0, "bytes are what shape and dtype need", t.name);
        n /= static_cast<std::size_t>(d);
      }
      always(n == 1, "bytes are what shape and dtype need", t.name);
    }
    unsigned sum = 0;
    for (std::size_t i = 0; i < t.bytes; ++i) sum += std::to_integer<unsigned>(t.data[i]);  // for the address sanitizer to see
    always(sum <= 255U * t.bytes, "bytes can be read");
  }
  always(tensors.empty() || tensors.front().data + total == file_end, "tensors end where the file ends");
  return 0;
}
