// Which tile is whose, in every grouped GEMM: blocks walk all tiles of all experts, and only the device knows how many rows an expert has.
#pragma once

#include <cstdint>

#include <moesaic/core/macros.hpp>
#include <moesaic/core/views.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

/// Whose rows are whose, and how many tiles they have side by side. A group is an expert; with shared_rows the shared expert's rows come
/// first, and it is the first group.
struct tile_groups {
  std::int32_t const* expert_offsets;  ///< of the routed rows; null: one expert, all rows
  std::int32_t rows, shared_rows;
  int experts, n_tiles;

  MOESAIC_HD constexpr int ahead() const { return shared_rows > 0 ? 1 : 0; }
  MOESAIC_HD constexpr int count() const { return experts + ahead(); }
  /// For g from 0 to count(): where group g's rows begin.
  MOESAIC_HD constexpr std::int32_t first_row(int group) const {
    if (group < ahead()) return 0;
    int const e = group - ahead();
    return shared_rows + (expert_offsets != nullptr ? expert_offsets[e] : e * rows);
  }
  MOESAIC_HD constexpr int expert(int group) const { return group < ahead() ? 0 : group - ahead(); }
};

/// A tile of a group's product: tile row m, tile column n.
struct tile_place {
  int m, n;
};

/// The `index`-th of m_tiles · n_tiles tiles. Tiles run down strips of `strip` tile columns, row by row: the CTAs that work at one time
/// read few rows and few columns (a wave of 132 covers 17 × 8, say, and not 5 × 28), and a strip's weights stay in L2 while rows pass by.
MOESAIC_HD constexpr tile_place place_of(int index, int m_tiles, int n_tiles, int strip) {
  int const per_strip = strip * m_tiles;
  int const first = index / per_strip * strip;
  int const width = n_tiles - first < strip ? n_tiles - first : strip;
  int const rest = index % per_strip;
  return {rest / width, first + rest % width};
}

/// Tiles of one group.
MOESAIC_HD constexpr int tiles_of(std::int64_t rows, int tile_rows, int n_tiles) {
  return static_cast<int>(ceil_div(rows, tile_rows)) * n_tiles;
}

/// The most tiles that `rows` rows can make, however `experts` share them out: what a grid is sized by.
MOESAIC_HD constexpr std::int64_t most_tiles(std::int64_t rows, int experts, int tile_rows, std::int64_t n_tiles) {
  std::int64_t const cut = experts < rows ? experts : rows;  // experts that have a row; each may end in the middle of a tile
  return ((rows - cut) / tile_rows + cut) * n_tiles;
}

/// One worker's way through the tiles `first`, first + step, … `starts` [groups + 1] counts the tiles before each group.
struct tile_walk {
  std::int32_t const* starts;
  int groups;
  int index;
  int step;
  int group = 0;

  /// Whether there is another tile; if so `group` is its group and `local()` its index among the group's tiles.
  MOESAIC_HD constexpr bool here() {
    if (index >= starts[groups]) return false;
    while (starts[group + 1] <= index) ++group;
    return true;
  }
  /// The same, and finds the group by halves: for a worker whose few tiles may be many groups apart.
  MOESAIC_HD constexpr bool find() {
    if (index >= starts[groups]) return false;
    group = 0;
    for (int end = groups; end - group > 1;) {
      int const middle = (group + end) / 2;
      (starts[middle] <= index ? group : end) = middle;
    }
    return true;
  }
  MOESAIC_HD constexpr int local() const { return index - starts[group]; }
  MOESAIC_HD constexpr void next() { index += step; }
};

/// A tile: rows from `row` on, of which `rows_left` are the group's, and tile column n.
struct group_tile {
  int group, row, rows_left, n;
};

/// Where a walk is.
MOESAIC_HD constexpr group_tile tile_of(tile_groups const& tiles, tile_walk const& walk, int tile_rows, int strip) {
  int const first = tiles.first_row(walk.group), count = tiles.first_row(walk.group + 1) - first;
  tile_place const place = place_of(walk.local(), static_cast<int>(ceil_div(count, tile_rows)), tiles.n_tiles, strip);
  int const m0 = place.m * tile_rows;
  return {walk.group, first + m0, count - m0, place.n};
}

}  // namespace moesaic::inline MOESAIC_ABI::cuda
