// What the Hopper kernels compute about tiles, pipelines and shared memory, without a GPU.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <moesaic/cuda/gemm/sm90/tile.hpp>
#include <moesaic/cuda/gemm/tile_walk.hpp>
#include <moesaic/tune/cuda_gemm.hpp>
#include <random>
#include <set>
#include <utility>
#include <vector>

namespace {

using namespace moesaic::cuda;

TEST(tile_walk, place_of_visits_each_tile_once) {
  for (int const strip : {1, 4, 8, 16})
    for (int m_tiles = 1; m_tiles < 20; ++m_tiles)
      for (int const n_tiles : {1, 2, 7, 8, 16, 28, 32, 56}) {
        std::set<std::pair<int, int>> seen;
        for (int i = 0; i < m_tiles * n_tiles; ++i) {
          tile_place const p = place_of(i, m_tiles, n_tiles, strip);
          ASSERT_TRUE(p.m >= 0 && p.m < m_tiles && p.n >= 0 && p.n < n_tiles);
          ASSERT_TRUE(seen.emplace(p.m, p.n).second) << i << " of " << m_tiles << " x " << n_tiles << ", strip " << strip;
        }
      }
}

TEST(tile_walk, workers_together_visit_each_tile_of_each_group_once) {
  std::mt19937 random(3);
  for (int round = 0; round < 200; ++round) {
    int const groups = 1 + static_cast<int>(random() % 40), n_tiles = 1 + static_cast<int>(random() % 9),
              workers = 1 + static_cast<int>(random() % 140);
    std::vector<std::int32_t> starts{0};
    for (int g = 0; g < groups; ++g)
      starts.push_back(starts.back() + (random() % 3 == 0 ? 0 : tiles_of(static_cast<std::int64_t>(random() % 700), 128, n_tiles)));
    std::vector<int> seen(static_cast<std::size_t>(starts.back()), 0);
    for (int w = 0; w < workers; ++w)
      for (tile_walk walk{starts.data(), groups, w, workers}; walk.here(); walk.next()) {
        ASSERT_TRUE(walk.local() >= 0 && walk.index < starts[static_cast<std::size_t>(walk.group) + 1]);
        ++seen[static_cast<std::size_t>(walk.index)];
      }
    ASSERT_TRUE(std::all_of(seen.begin(), seen.end(), [](int n) { return n == 1; })) << "round " << round;
  }
}

TEST(hopper_pipeline, parity_turns_when_the_stages_are_through) {
  sm90::pipeline_place p;
  for (unsigned n = 0; n < 100; ++n, p.next(5)) {
    EXPECT_EQ(p.stage, static_cast<int>(n % 5));
    EXPECT_EQ(p.parity, n / 5 % 2);
  }
}

// Operand tiles start at multiples of 1024 bytes (the swizzle repeats there), scales at multiples of 128 (TMA), barriers at 8, and nothing
// lies over something else.
template <class Tile>
void expect_row_tile_fits() {
  for (int s = 0; s < Tile::stages; ++s) {
    EXPECT_EQ(Tile::a_at(s) % 1024, 0);
    for (int p = 0; p < Tile::pieces; ++p) EXPECT_EQ(Tile::piece_at(s, p) % 1024, 0);
    EXPECT_EQ(Tile::a_scales_at(s) % 128, 0);
    EXPECT_LE(Tile::piece_at(s, Tile::pieces - 1) + Tile::piece_bytes, s + 1 < Tile::stages ? Tile::a_at(s + 1) : Tile::a_scales_at(0));
    EXPECT_LE(Tile::a_scales_at(s) + Tile::a_scale_bytes, s + 1 < Tile::stages ? Tile::a_scales_at(s + 1) : Tile::staging_at);
  }
  EXPECT_EQ(Tile::staging_at % 16, 0);
  EXPECT_EQ(Tile::barriers_at % 8, 0);
  EXPECT_LE(Tile::shared_bytes(1024), sm90::shared_memory_limit);
}
template <class Tile>
void expect_weight_tile_fits() {
  for (int s = 0; s < Tile::stages; ++s) {
    EXPECT_EQ(Tile::weights_at(s) % 1024, 0);
    EXPECT_EQ(Tile::tokens_at(s) % 1024, 0);
    EXPECT_EQ(Tile::a_scales_at(s) % 128, 0);
    EXPECT_LE(Tile::tokens_at(s) + Tile::token_bytes, s + 1 < Tile::stages ? Tile::weights_at(s + 1) : Tile::a_scales_at(0));
  }
  EXPECT_EQ(Tile::staging_at % 16, 0);
  EXPECT_EQ(Tile::barriers_at % 8, 0);
  EXPECT_GE(Tile::staging_pitch * Tile::rows, Tile::rows * 144 + 8 * Tile::rows * 4);          // codes and the warps' largest magnitudes
  EXPECT_LE(Tile::ctas * (Tile::shared_bytes(257) + 1024), sm90::shared_memory_limit + 1024);  // 1 KB of each CTA is the system's
}

TEST(hopper_tiles, lie_in_shared_memory_as_wgmma_and_tma_want_them) {
  expect_row_tile_fits<sm90::prefill>();
  expect_row_tile_fits<sm90::narrow_prefill>();
  expect_weight_tile_fits<sm90::decode<8, 1>>();
  expect_weight_tile_fits<sm90::short_decode<8, 1>>();
  expect_weight_tile_fits<sm90::decode<8, 2>>();
  expect_weight_tile_fits<sm90::short_decode<8, 2>>();
  expect_weight_tile_fits<sm90::decode<16, 1>>();
  expect_weight_tile_fits<sm90::decode<32, 1>>();
  expect_weight_tile_fits<sm90::decode<64, 1>>();
  expect_weight_tile_fits<sm90::short_decode<16, 1>>();
  expect_weight_tile_fits<sm90::short_decode<32, 1>>();
  expect_weight_tile_fits<sm90::short_decode<16, 2>>();
  expect_weight_tile_fits<sm90::short_decode<32, 2>>();
  expect_weight_tile_fits<sm90::decode<16, 2>>();
  expect_weight_tile_fits<sm90::decode<32, 2>>();
  expect_weight_tile_fits<sm90::decode<64, 2>>();
}

TEST(hopper_tiles, are_chosen_by_rows_an_expert) {
  using moesaic::tune::hopper_tile;
  using moesaic::tune::tile_for;
  EXPECT_EQ(tile_for(8, 256), hopper_tile::tokens_16);
  EXPECT_EQ(tile_for(4096, 256), hopper_tile::tokens_32);
  EXPECT_EQ(tile_for(8192, 256), hopper_tile::tokens_64);
  EXPECT_EQ(tile_for(16384, 256), hopper_tile::rows_128);
  EXPECT_EQ(tile_for(64, 1), hopper_tile::rows_128);
}

}  // namespace
