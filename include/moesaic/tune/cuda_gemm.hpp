// Which tile multiplies what on Hopper. The choice never shows in the bits: all tiles add in the same order, in the same instruction
// (bench/gpu/gemm.cu compares them; seen equal on an H200).
#pragma once

#include <cstdint>

#include <moesaic/core/macros.hpp>

namespace moesaic::inline MOESAIC_ABI::tune {

/// Tokens of a decode tile (weights as the wgmma's rows), or 0: the prefill tile of 128 rows.
enum class hopper_tile { tokens_16 = 16, tokens_32 = 32, tokens_64 = 64, rows_128 = 0 };

/// For `rows` rows shared out among `experts` experts at random: the narrowest tile that holds nearly every expert's rows, as long as
/// weights are what is waited for. Measured on an H200, DeepSeek-V3 shapes, docs/cuda.md.
MOESAIC_HD constexpr hopper_tile tile_for(std::int64_t rows, std::int64_t experts) {
  std::int64_t const each = rows / (experts > 0 ? experts : 1);
  if (each <= 10) return hopper_tile::tokens_16;
  if (each <= 22) return hopper_tile::tokens_32;
  if (each <= 48) return hopper_tile::tokens_64;
  return hopper_tile::rows_128;
}

}  // namespace moesaic::inline MOESAIC_ABI::tune
