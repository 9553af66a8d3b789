// The Hopper router GEMM's index arithmetic: every column is added by one rank, every logit made by one tile, held by one thread and stored
// by one.
#include <gtest/gtest.h>

#include <cstdint>
#include <moesaic/cuda/gemm/sm90/router_tile.hpp>
#include <moesaic/cuda/gemm/sm90/tile.hpp>
#include <moesaic/tune/cuda_gemm.hpp>
#include <vector>

namespace {

using namespace moesaic::cuda::sm90;
namespace tune = moesaic::tune;

TEST(router, shares_are_all_blocks_in_order) {
  for (int blocks = 1; blocks <= 600; ++blocks) {
    int next = 0, filled = 0;
    for (int rank = 0; rank < router_ranks; ++rank) {
      router_share const s = router_share_of(blocks, rank);
      ASSERT_EQ(s.first, next) << blocks;
      ASSERT_GE(s.count, 0);
      ASSERT_LE(s.count, router_share_size(blocks));
      ASSERT_EQ(s.count > 0, rank < router_shares(blocks)) << blocks << " blocks, rank " << rank;
      next += s.count;
      filled += s.count > 0 ? 1 : 0;
    }
    ASSERT_EQ(next, blocks);
    ASSERT_EQ(filled, router_shares(blocks));
  }
  EXPECT_EQ(router_share_of(112, 7).count, 14);  // DeepSeek-V3
}

template <class Tile>
void expect_sound_tile() {
  SCOPED_TRACE(std::to_string(Tile::rows) + " x " + std::to_string(Tile::columns));
  EXPECT_LE(Tile::shared_bytes, shared_memory_limit);
  EXPECT_GE(Tile::stages, 4);
  for (int s = 0; s < Tile::stages; ++s) {
    EXPECT_EQ(Tile::x_at(s) % 1024, 0);
    EXPECT_EQ(Tile::w_at(s) % 1024, 0);
    EXPECT_EQ(Tile::w_at(s) - Tile::x_at(s), Tile::x_bytes);
  }
  EXPECT_LE(Tile::w_at(Tile::stages - 1) + Tile::w_bytes, Tile::barriers_at);

  // Accumulators: each element of the tile is one thread's, and a pair lies side by side at a multiple of 8 bytes.
  std::vector<int> held(static_cast<std::size_t>(Tile::rows * Tile::columns));
  for (int thread = 0; thread < Tile::math_threads; ++thread)
    for (int piece = 0; piece < Tile::pieces; ++piece)
      for (int j = 0; j < Tile::piece_columns / 2; ++j) {
        router_element const e = router_fragment(thread % 128, j);
        int const row = thread / 128 * 64 + e.row, column = piece * Tile::piece_columns + e.column;
        ASSERT_LT(row, Tile::rows);
        ASSERT_LT(column, Tile::columns);
        ++held[static_cast<std::size_t>(row * Tile::columns + column)];
        if (j % 2 == 0) {
          router_element const next = router_fragment(thread % 128, j + 1);
          ASSERT_TRUE(next.row == e.row && next.column == e.column + 1 && (row * Tile::pitch + column) % 2 == 0);
        }
      }
  for (int const count : held) ASSERT_EQ(count, 1);

  // Half a warp's stores of 8 bytes touch all banks once.
  for (int first = 0; first < 32; first += 16) {
    unsigned banks = 0;
    for (int lane = first; lane < first + 16; ++lane)
      for (int word = 0; word < 2; ++word)
        banks |= 1U << (router_fragment(lane, 0).row * Tile::pitch + router_fragment(lane, word).column) % 32;
    EXPECT_EQ(banks, ~0U);
  }

  // Stores: for any number of rows each element once, at multiples of 16 bytes.
  for (int const rows : {1, 2, 63, 64, Tile::rows}) {
    std::vector<int> stored(static_cast<std::size_t>(rows * Tile::columns));
    for (int rank = 0; rank < router_ranks; ++rank)
      for (int thread = 0; thread < Tile::math_threads; ++thread)
        for (int i = router_first_quad<Tile>(rank, thread); i < rows * (Tile::columns / 4); i += router_quad_step<Tile>) {
          router_element const e = router_quad<Tile>(i);
          ASSERT_LT(e.row, rows);
          ASSERT_EQ((e.row * Tile::pitch + e.column) % 4, 0);
          for (int c = 0; c < 4; ++c) ++stored[static_cast<std::size_t>(e.row * Tile::columns + e.column + c)];
        }
    for (int const count : stored) ASSERT_EQ(count, 1);
  }
}

TEST(router, tiles_hold_and_store_each_logit_once) {
  expect_sound_tile<router_tile<64, 32>>();
  expect_sound_tile<router_tile<64, 64>>();
  expect_sound_tile<router_tile<128, 64>>();
  expect_sound_tile<router_tile<128, 128>>();
  expect_sound_tile<router_tile<128, 256>>();
}

TEST(router, takes_what_the_copy_engine_can_read) {
  EXPECT_TRUE(router_takes(7168, 7168, 0));
  EXPECT_TRUE(router_takes(64, 72, 32));
  EXPECT_FALSE(router_takes(7168, 7168, 8));
  EXPECT_FALSE(router_takes(7168, 7172, 0));
  EXPECT_FALSE(router_takes(7200, 7200, 0));
  EXPECT_FALSE(router_takes(0, 0, 0));
  EXPECT_FALSE(router_takes(128, 64, 0));
}

TEST(router, few_tokens_run_on_many_multiprocessors_and_many_on_large_tiles) {
  using enum tune::hopper_router_tile;
  EXPECT_EQ(tune::router_tile_for(1, 256, 16), tokens_64_experts_32);
  EXPECT_EQ(tune::router_tile_for(128, 256, 16), tokens_64_experts_32);
  EXPECT_EQ(tune::router_tile_for(129, 256, 16), tokens_64_experts_64);
  EXPECT_EQ(tune::router_tile_for(512, 256, 16), tokens_128_experts_64);
  EXPECT_EQ(tune::router_tile_for(1024, 256, 16), tokens_128_experts_128);
  EXPECT_EQ(tune::router_tile_for(1025, 256, 16), tokens_128_experts_256);
  EXPECT_EQ(tune::router_tile_for(1 << 20, 256, 16), tokens_128_experts_256);
  EXPECT_EQ(tune::router_tile_for(1 << 20, 128, 16), tokens_128_experts_128);
  EXPECT_EQ(tune::router_tile_for(1 << 20, 64, 16), tokens_128_experts_64);
  EXPECT_EQ(tune::router_tile_for(1 << 20, 8, 16), tokens_64_experts_32);
  EXPECT_EQ(tune::router_tile_for(1, 1, 0), tokens_64_experts_32);
}

}  // namespace
