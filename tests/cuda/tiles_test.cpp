// Every output of a grouped GEMM lies in exactly one tile, for any offsets.
#include <gtest/gtest.h>

#include <cstdint>
#include <moesaic/cuda/gemm/tiles.hpp>
#include <random>
#include <vector>

namespace {

using moesaic::cuda::gemm_tile;

struct problem {
  std::vector<std::int32_t> offsets;  // empty: null, one expert
  std::int64_t rows, columns;
  int tile_rows, tile_columns;
};

std::vector<std::int32_t> first_tiles(problem const& p, int experts) {
  std::vector<std::int32_t> first{0};
  std::int32_t const* const offsets = p.offsets.empty() ? nullptr : p.offsets.data();
  for (int e = 0; e < experts; ++e) first.push_back(first.back() + moesaic::cuda::tiles_high(offsets, p.rows, e, p.tile_rows));
  return first;
}

void expect_each_output_once(problem const& p) {
  int const experts = p.offsets.empty() ? 1 : static_cast<int>(p.offsets.size()) - 1;
  std::int32_t const* const offsets = p.offsets.empty() ? nullptr : p.offsets.data();
  std::int64_t const last_row = p.offsets.empty() ? p.rows : p.offsets.back();
  std::int64_t const wide = moesaic::ceil_div(p.columns, p.tile_columns);
  std::vector<std::int32_t> const first = first_tiles(p, experts);
  std::int64_t const count = first.back() * wide;
  ASSERT_LE(count, moesaic::cuda::most_tiles(p.rows, experts, p.tile_rows, wide));
  std::vector<int> seen(static_cast<std::size_t>(p.rows * wide), 0);
  for (std::int64_t t = 0; t < count; ++t) {
    gemm_tile const tile = moesaic::cuda::tile_at(t, first.data(), offsets, p.rows, experts, p.tile_rows, p.tile_columns, wide);
    ASSERT_TRUE(tile.expert >= 0 && tile.expert < experts);
    ASSERT_LT(tile.row, tile.last);
    ASSERT_LE(tile.last - tile.row, p.tile_rows);
    ASSERT_TRUE(tile.row >= moesaic::cuda::first_row(offsets, p.rows, tile.expert) &&
                tile.last <= moesaic::cuda::first_row(offsets, p.rows, tile.expert + 1));
    ASSERT_EQ(tile.column % p.tile_columns, 0);
    ASSERT_LT(tile.column, p.columns);
    for (std::int64_t r = tile.row; r < tile.last; ++r) ++seen[static_cast<std::size_t>(r * wide + tile.column / p.tile_columns)];
  }
  for (std::int64_t r = 0; r < p.rows; ++r)
    for (std::int64_t c = 0; c < wide; ++c)
      ASSERT_EQ(seen[static_cast<std::size_t>(r * wide + c)], r < last_row ? 1 : 0) << "row " << r << ", tile column " << c;
}

TEST(tiles, cover_each_output_once) {
  std::mt19937 random(671);
  auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  for (int round = 0; round < 400; ++round) {
    problem p{{}, 0, 1 + below(600), 16 << below(4), 8 << below(5)};
    if (round % 8 == 0) {
      p.rows = below(300);
    } else {
      int const experts = 1 + below(round % 3 == 0 ? 300 : 9);
      p.offsets.push_back(0);
      for (int e = 0; e < experts; ++e) p.offsets.push_back(p.offsets.back() + (below(3) == 0 ? 0 : below(round % 5 == 0 ? 400 : 20)));
      p.rows = p.offsets.back() + below(10);  // and rows that are nobody's
    }
    ASSERT_NO_FATAL_FAILURE(expect_each_output_once(p)) << "round " << round;
  }
}

TEST(tiles, a_grid_is_large_enough_for_the_worst_shares) {
  for (std::int64_t rows = 0; rows <= 70; ++rows)
    for (int const experts : {1, 2, 7, 64}) {
      // All experts but one hold one row; that one holds the rest.
      std::int64_t const small_ones = rows < experts ? rows : experts, rest = rows - small_ones + (small_ones > 0 ? 1 : 0);
      std::int64_t const tiles = small_ones > 0 ? small_ones - 1 + moesaic::ceil_div(rest, 16) : 0;
      EXPECT_LE(tiles * 3, moesaic::cuda::most_tiles(rows, experts, 16, 3));
      EXPECT_GE(moesaic::cuda::most_tiles(rows, experts, 16, 3), 0);
    }
}

// The largest that the hand-off types allow.
static_assert(moesaic::cuda::most_tiles(0x7fff'ffff, 512, 16, 7168 / 8) == ((0x7fff'ffffLL - 512) / 16 + 512) * 896);

}  // namespace
