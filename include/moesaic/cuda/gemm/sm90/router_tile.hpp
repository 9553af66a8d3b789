// The Hopper router GEMM's index arithmetic: who adds which columns, tiles and what they take of shared memory, who holds and who stores
// which logit.
#pragma once

#include <cstdint>

#include <moesaic/core/macros.hpp>
#include <moesaic/core/views.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::sm90 {

/// The CTAs of a cluster share out the columns of x, whatever the number of tokens: that fixes the order of all additions.
inline constexpr int router_ranks = 8;
/// Columns of one block: 128 bytes of bf16, a row of a box.
inline constexpr int router_block = 64, router_box_bytes = 128;

/// Blocks [first, first + count) of `blocks` are rank `rank`'s. The shares are as equal as whole blocks allow, the last ones may be empty.
struct router_share {
  int first, count;
};
MOESAIC_HD constexpr int router_share_size(int blocks) { return (blocks + router_ranks - 1) / router_ranks; }
MOESAIC_HD constexpr router_share router_share_of(int blocks, int rank) {
  int const each = router_share_size(blocks), first = each * rank < blocks ? each * rank : blocks;
  return {first, blocks - first < each ? blocks - first : each};
}
/// How many ranks have a share.
MOESAIC_HD constexpr int router_shares(int blocks) { return (blocks + router_share_size(blocks) - 1) / router_share_size(blocks); }

/// Tokens are the wgmma's rows, 64 a warpgroup; experts its columns, in pieces of at most 128. One more warp keeps the copy engine busy, or
/// a warpgroup, which has registers to give, where sums of two pieces need them.
template <int Rows, int Columns>
struct router_tile {
  static constexpr int rows = Rows, columns = Columns, pieces = Columns > 128 ? 2 : 1, piece_columns = Columns / pieces;
  static constexpr int math_threads = Rows / 64 * 128, threads = math_threads + (pieces == 2 ? 128 : 32);
  /// Blocks whose products a warpgroup starts before it waits for them: a narrow product is over sooner than waiting for it is.
  static constexpr int blocks_at_once = piece_columns <= 32 ? 4 : piece_columns <= 64 ? 2 : 1;
  static constexpr int producer_registers = 24, math_registers = 240;  // with two pieces

  static constexpr int x_bytes = Rows * router_box_bytes, w_bytes = Columns * router_box_bytes, stage_bytes = x_bytes + w_bytes;
  static constexpr int pipeline_bytes = 192 * 1024, stages = pipeline_bytes / stage_bytes;
  MOESAIC_HD static constexpr int x_at(int stage) { return stage * stage_bytes; }
  MOESAIC_HD static constexpr int w_at(int stage) { return stage * stage_bytes + x_bytes; }
  static constexpr int barriers_at = stages * stage_bytes, shared_bytes = barriers_at + stages * 16;

  /// In floats, of the sums that the other CTAs of the cluster read: the eight rows that a warp writes at once lie in different banks.
  static constexpr int pitch = Columns + 8;
  static_assert(Rows * pitch * 4 <= barriers_at && x_bytes % 1024 == 0 && w_bytes % 1024 == 0 && Rows % 64 == 0 && piece_columns % 8 == 0);
};

/// Row and column in a warpgroup's 64 × piece_columns of its thread's i-th accumulator.
struct router_element {
  int row, column;
};
MOESAIC_HD constexpr router_element router_fragment(int thread, int i) {
  return {thread / 32 * 16 + thread % 32 / 4 + i / 2 % 2 * 8, i / 4 * 8 + thread % 4 * 2 + i % 2};
}

/// Four columns of a row of the tile: the `i`-th of those that the cluster's math threads store together.
template <class Tile>
MOESAIC_HD constexpr router_element router_quad(int i) {
  return {i / (Tile::columns / 4), i % (Tile::columns / 4) * 4};
}
template <class Tile>
MOESAIC_HD constexpr int router_first_quad(int rank, int thread) {
  return rank * Tile::math_threads + thread;
}
template <class Tile>
inline constexpr int router_quad_step = router_ranks* Tile::math_threads;

/// Whether TMA takes rows of k bf16, `stride` elements apart, at an address that is `address` bytes past some multiple of 16.
constexpr bool router_takes(std::int64_t k, std::int64_t stride, std::uintptr_t address) {
  return k > 0 && k % router_block == 0 && stride >= k && stride % 8 == 0 && address % 16 == 0;
}

}  // namespace moesaic::inline MOESAIC_ABI::cuda::sm90
