// One safetensors file: its header read and every rule of the format checked. Knows nothing of models.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "checkpoint.hpp"

namespace deepseek_v3 {

/// The tensors of a file whose whole content is `bytes`, in the order of their data. Throws input_error, its line beginning with `file`.
///
/// Refused is what the official reader refuses (header longer than 100,000,000 bytes or than the file, no UTF-8, another schema, unknown
/// dtype, holes, overlaps, sizes that overflow or disagree with the shape, bytes left over), and further: names given twice, more than
/// 8 dimensions, offsets that are no unsigned integers.
std::vector<tensor> read_safetensors(std::string const& file, std::span<std::byte const> bytes);

}  // namespace deepseek_v3
