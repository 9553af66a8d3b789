// Every output of a grouped GEMM lies in exactly one tile, for any offsets, with and without rows of a shared expert.
#include <gtest/gtest.h>

#include <cstdint>
#include <moesaic/cuda/gemm/tile_walk.hpp>
#include <random>
#include <vector>

namespace {

using namespace moesaic::cuda;

struct problem {
  std::vector<std::int32_t> offsets;  // of routed rows; empty: null, one expert
  int rows, shared_rows, columns;
  int tile_rows, tile_columns, strip;

  tile_groups groups() const {
    bool const one = offsets.empty();
    return {one ? nullptr : offsets.data(), rows, shared_rows, one ? 1 : static_cast<int>(offsets.size()) - 1,
            static_cast<int>(moesaic::ceil_div(columns, tile_columns))};
  }
};

void expect_each_output_once(problem const& p) {
  tile_groups const groups = p.groups();
  ASSERT_EQ(groups.count(), groups.experts + (p.shared_rows > 0 ? 1 : 0));
  std::vector<std::int32_t> starts{0};
  for (int g = 0; g < groups.count(); ++g)
    starts.push_back(starts.back() + tiles_of(groups.first_row(g + 1) - groups.first_row(g), p.tile_rows, groups.n_tiles));
  ASSERT_LE(starts.back(), most_tiles(p.rows - p.shared_rows, groups.experts, p.tile_rows, groups.n_tiles) +
                               moesaic::ceil_div(p.shared_rows, p.tile_rows) * groups.n_tiles);
  auto const wide = static_cast<std::size_t>(groups.n_tiles);
  std::vector<int> seen(static_cast<std::size_t>(p.rows) * wide, 0);
  tile_walk in_turn{starts.data(), groups.count(), 0, 1};
  for (int t = 0; t < starts.back(); ++t, in_turn.next()) {
    tile_walk walk{starts.data(), groups.count(), t, 1};
    ASSERT_TRUE(walk.find() && in_turn.here());
    ASSERT_EQ(walk.group, in_turn.group);
    group_tile const tile = tile_of(groups, walk, p.tile_rows, p.strip);
    ASSERT_TRUE(tile.group >= 0 && tile.group < groups.count() && tile.rows_left > 0 && tile.n >= 0 && tile.n < groups.n_tiles);
    ASSERT_TRUE(tile.row >= groups.first_row(tile.group) && tile.row + tile.rows_left == groups.first_row(tile.group + 1));
    // A shared row is nobody else's.
    ASSERT_EQ(tile.row < p.shared_rows, tile.group < groups.ahead());
    ASSERT_EQ(groups.expert(tile.group), tile.group < groups.ahead() ? 0 : tile.group - groups.ahead());
    for (int r = 0; r < tile.rows_left && r < p.tile_rows; ++r)
      ++seen[static_cast<std::size_t>(tile.row + r) * wide + static_cast<std::size_t>(tile.n)];
  }
  EXPECT_FALSE((tile_walk{starts.data(), groups.count(), starts.back(), 1}.find()));
  int const last_row = groups.first_row(groups.count());
  for (int r = 0; r < p.rows; ++r)
    for (std::size_t c = 0; c < wide; ++c)
      ASSERT_EQ(seen[static_cast<std::size_t>(r) * wide + c], r < last_row ? 1 : 0) << "row " << r << ", tile column " << c;
}

TEST(tiles, cover_each_output_once) {
  std::mt19937 random(671);
  auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  for (int round = 0; round < 400; ++round) {
    problem p{{}, 0, 0, 1 + below(600), 16 << below(4), 8 << below(5), 1 << below(4)};
    if (round % 8 == 0) {
      p.rows = below(300);
    } else {
      int const experts = 1 + below(round % 3 == 0 ? 300 : 9);
      p.offsets.push_back(0);
      for (int e = 0; e < experts; ++e) p.offsets.push_back(p.offsets.back() + (below(3) == 0 ? 0 : below(round % 5 == 0 ? 400 : 20)));
      if (round % 2 == 0) p.shared_rows = 1 + below(90);
      p.rows = p.shared_rows + p.offsets.back() + below(10);  // and rows that are nobody's
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
      EXPECT_LE(tiles * 3, most_tiles(rows, experts, 16, 3));
      EXPECT_GE(most_tiles(rows, experts, 16, 3), 0);
    }
}

// The largest that the hand-off types allow.
static_assert(most_tiles(0x7fff'ffff, 512, 16, 7168 / 8) == ((0x7fff'ffffLL - 512) / 16 + 512) * 896);

}  // namespace
