// Tiles of the Hopper grouped GEMM as types, and what they take of shared memory and registers.
#pragma once

#include <cstdint>

#include <moesaic/core/macros.hpp>
#include <moesaic/num/block_scale.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::sm90 {

inline constexpr int math_warpgroups = 2, threads_per_warpgroup = 128;
inline constexpr int shared_memory_limit = 232448;  // bytes a CTA may have on sm_90

/// TMA wants a box to start at a multiple of 16 bytes, experts start at any row: scales come from up to three rows before.
inline constexpr int scale_slack = 4;

/// Rows of x are the wgmma's rows: 128 of them, 64 a warpgroup, times Pieces · 128 weight rows. A warpgroup holds the totals of all pieces
/// and the sums of one.
template <int Pieces, int Stages>
struct row_tile {
  static constexpr int rows = 128, pieces = Pieces, stages = Stages, ctas = 1;
  static constexpr int columns = Pieces * scale_block;
  static constexpr int strip = 16 / Pieces;  // tile columns, see place_of
  static constexpr int threads = (1 + math_warpgroups) * threads_per_warpgroup;
  static constexpr int producer_registers = 24, math_registers = 240;

  static constexpr int a_bytes = rows * scale_block, piece_bytes = scale_block * scale_block;
  static constexpr int scale_rows = rows + scale_slack, a_scale_bytes = scale_rows * 4, a_scale_pitch = (a_scale_bytes + 127) / 128 * 128;
  static constexpr int stage_bytes = a_bytes + Pieces * piece_bytes;
  static constexpr int staging_bytes_per_warp = 16 * 144;  // 16 rows of 128 bytes, and of 16 more where they are not swizzled

  MOESAIC_HD static constexpr int a_at(int stage) { return stage * stage_bytes; }
  MOESAIC_HD static constexpr int piece_at(int stage, int piece) { return stage * stage_bytes + a_bytes + piece * piece_bytes; }
  MOESAIC_HD static constexpr int a_scales_at(int stage) { return Stages * stage_bytes + stage * a_scale_pitch; }
  static constexpr int staging_at = Stages * (stage_bytes + a_scale_pitch);
  static constexpr int barriers_at = staging_at + math_warpgroups * 4 * staging_bytes_per_warp;
  static constexpr int schedule_at = barriers_at + Stages * 16;
  MOESAIC_HD static constexpr int shared_bytes(int groups) { return schedule_at + 8 * (groups + 1); }

  static_assert(producer_registers * 128 + math_registers * 256 <= 65536);
};

/// Weight rows are the wgmma's rows: 128 of each matrix times `Tokens` rows of x. For experts with few rows: weights are streamed, and
/// nothing is multiplied in vain. Two CTAs an SM, where registers and shared memory allow it, share the bandwidth more evenly in the last
/// round of tiles than one with twice the stages.
template <int Tokens, int Matrices, int Stages, int Ctas>
struct weight_tile {
  static constexpr int rows = Tokens, columns = 128, matrices = Matrices, stages = Stages, ctas = Ctas;
  static constexpr int strip = 8;  // tile columns, see place_of
  static constexpr int threads = math_warpgroups * threads_per_warpgroup + 32;

  static constexpr int weight_bytes = columns * scale_block, token_bytes = Tokens * scale_block;
  static constexpr int stage_bytes = Matrices * weight_bytes + token_bytes;
  static constexpr int scale_rows = rows + scale_slack, a_scale_bytes = scale_rows * 4, a_scale_pitch = (a_scale_bytes + 127) / 128 * 128;
  static constexpr int staging_pitch = columns * 2 + 16;

  MOESAIC_HD static constexpr int weights_at(int stage) { return stage * stage_bytes; }
  MOESAIC_HD static constexpr int tokens_at(int stage) { return stage * stage_bytes + Matrices * weight_bytes; }
  MOESAIC_HD static constexpr int a_scales_at(int stage) { return Stages * stage_bytes + stage * a_scale_pitch; }
  static constexpr int staging_at = Stages * (stage_bytes + a_scale_pitch);
  static constexpr int barriers_at = staging_at + Tokens * staging_pitch;
  static constexpr int schedule_at = barriers_at + Stages * 16;
  MOESAIC_HD static constexpr int shared_bytes(int groups) { return schedule_at + 8 * (groups + 1); }
};

/// The tiles in use, with as many stages as shared memory holds.
using prefill = row_tile<2, 4>;         // 128 rows × 256 columns
using narrow_prefill = row_tile<1, 6>;  // where columns are no multiple of 256
MOESAIC_HD constexpr int decode_stages(int tokens, int matrices) { return (tokens == 8 ? 12 : tokens == 64 ? 8 : 10) / matrices; }
MOESAIC_HD constexpr int short_decode_stages(int tokens, int matrices) {
  if (tokens == 8) return 6 / matrices;
  return (matrices == 1 ? 5 : 3) - (tokens == 32 ? 1 : 0);
}
/// Of 8 to 64 tokens, those of 8 by the benchmark alone.
template <int Tokens, int Matrices>
using decode = weight_tile<Tokens, Matrices, decode_stages(Tokens, Matrices), 1>;
/// For a few rounds of tiles; of 8 to 32 tokens.
template <int Tokens, int Matrices>
using short_decode = weight_tile<Tokens, Matrices, short_decode_stages(Tokens, Matrices), 2>;

/// The stage and the parity of the `n`-th K block that goes through a pipeline.
struct pipeline_place {
  int stage = 0;
  std::uint32_t parity = 0;
  MOESAIC_HD constexpr void next(int stages) {
    if (++stage == stages) {
      stage = 0;
      parity ^= 1U;
    }
  }
};

}  // namespace moesaic::inline MOESAIC_ABI::cuda::sm90
