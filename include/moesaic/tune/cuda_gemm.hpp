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

/// Tiles of the router GEMM, each the work of a cluster.
enum class hopper_router_tile {
  tokens_64_experts_32,
  tokens_64_experts_64,
  tokens_128_experts_64,
  tokens_128_experts_128,
  tokens_128_experts_256,
};

/// The smallest tiles of which as many clusters as the device runs at once make the whole result; else the largest that `experts` fill.
MOESAIC_HD constexpr hopper_router_tile router_tile_for(std::int64_t tokens, std::int64_t experts, std::int64_t clusters) {
  constexpr int rows[] = {64, 64, 128, 128, 128}, columns[] = {32, 64, 64, 128, 256};
  int i = 0;
  while (i < 4 && (columns[i] < experts || columns[i + 1] == columns[i]) &&
         ((tokens + rows[i] - 1) / rows[i]) * ((experts + columns[i] - 1) / columns[i]) > clusters)
    ++i;
  return static_cast<hopper_router_tile>(i);
}

}  // namespace moesaic::inline MOESAIC_ABI::tune
