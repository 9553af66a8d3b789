// The panel kernel, for more rows: a block of weights is decoded to L1 once, and tiles of rows are multiplied by it.
#pragma once

#include <cstdint>

#include <moesaic/cpu/strip_job.hpp>

namespace moesaic::inline MOESAIC_ABI::cpu::detail {

/// What a panel needs while it is multiplied by.
template <class Engine>
struct panel_session {
  panel_session(int, int) {}
};
template <class Engine>
requires(has_tiles<Engine>) struct panel_session<Engine> : Engine::session {
  using Engine::session::session;
};

/// T strips of one block, decoded. The tail keeps two panels from lying a multiple of 4096 bytes apart: a load would then wait for a store
/// whose address only looks the same.
template <class Engine, int T>
struct panel {
  alignas(64) typename Engine::weight at[block_groups][T][Engine::weights];
  char tail[256];
};

/// What a tile does beside multiplying: decode groups of the next block, and ask memory for the one behind it, a cache line for each group.
template <class Engine, int T, class Code>
struct lookahead {
  Code const* code[T];
  panel<Engine, T>* into;
  int groups;
  char const* ahead[2];
  char const* rows;
};

/// total[r][t] += scale of row r and strip t · (groups [0, groups) of strip t times the same columns of row a[r]), columns ascending in
/// each chunk. Row 0 of a and of total is row `row` of scale.
template <class Engine, int R, int T, class Code, int Scales, std::size_t Most>
void add_panel(panel<Engine, T> const& from, block_of<Engine> a, float const (&scale)[Scales][Most], int row, int groups,
               lookahead<Engine, T, Code> const& next, vec (*total)[T][Engine::totals]) {
  constexpr int per_step = Engine::weights / Engine::steps;
  for (int first = 0; first < groups; first += Engine::chunk) {
    typename Engine::sum sum[R][T][Engine::sums] = {};
    int const last = first + Engine::chunk < groups ? first + Engine::chunk : groups;
    auto const look_ahead = [&](int g) __attribute__((always_inline)) {
      for (char const* line : next.ahead) __builtin_prefetch(line + g * 64, 0, 3);
      constexpr int row_lines =
          (R * scale_block * static_cast<int>(sizeof(typename Engine::element)) / 64 + block_groups - 1) / block_groups;
      for (int l = 0; l < row_lines; ++l) __builtin_prefetch(next.rows + (g * row_lines + l) * 64, 0, 3);
      if (g < next.groups)
        for (int t = 0; t < T; ++t) Engine::load(next.code[t] + g * group_elements, next.into->at[g][t]);
    };
    if constexpr (has_tiles<Engine>) {
      static_assert(T == 1 && Engine::chunk == block_groups);
      Engine::template multiply_block<R>(from.at[0][0], a, groups, look_ahead, sum[0][0]);
    } else
      for (int g = first; g < last; ++g) {
        look_ahead(g);
#pragma GCC unroll 4
        for (int s = 0; s < Engine::steps; ++s)
#pragma GCC unroll 16
          for (int r = 0; r < R; ++r) {
            auto const x = Engine::multiplier(a[r] + g * group_columns, s);
#pragma GCC unroll 8
            for (int t = 0; t < T; ++t)
#pragma GCC unroll 16
              for (int i = s * per_step; i < (s + 1) * per_step; ++i)
                Engine::multiply_add(x, from.at[g][t][i], sum[r][t][i % Engine::sums]);
          }
      }
    promote<Engine>(sum, scale, row, total);
  }
}

/// out[r · stride + (s − s0) · 16 …) for up to panel_rows rows and the strips [s0, s1), T at a time: a multiple of T. While the first rows
/// are multiplied with a block, the next one is decoded: the one keeps the multipliers busy, the other the stores.
template <tune::cpu_gemm_policy Policy, int T, class Engine, class Rows, class Strips>
void multiply_panel(int rows, strip_job<Engine, Rows, Strips> const& job, std::int64_t s0, std::int64_t s1,
                    strip_place<Strips> const& after, float* out, std::int64_t stride) {
  using code = typename Strips::code;
  // Tiles of nearly equal height: a last tile of one row would wait for its own sums.
  int const tiles = (rows + Policy.panel_tile - 1) / Policy.panel_tile;
  [[maybe_unused]] panel_session<Engine> const session(rows, tiles);
  block_codes<T, Strips> codes(job.w, s1, after);
  std::int64_t const blocks = job.w.blocks();
  auto const decode = [&](code const* const(&from)[T], int g0, int g1, panel<Engine, T>& to) {
    for (int g = g0; g < g1; ++g)
      for (int t = 0; t < T; ++t) Engine::load(from[t] + g * group_elements, to.at[g][t]);
  };
  panel<Engine, T> decoded[2];
  int current = 0;
  code const* first[T] = {};
  if (codes.read(s0, 0, first)) decode(first, 0, job.groups(0), decoded[current]);
  alignas(64) typename Engine::element buffer[Policy.panel_rows][scale_block];
  float scale[strip_job<Engine, Rows, Strips>::template scales<T>][Policy.panel_rows];
  vec total[Policy.panel_rows][T][Engine::totals];
  for (std::int64_t s = s0; s < s1; s += T) {
    for (int r = 0; r < rows; ++r)
      for (int t = 0; t < T; ++t)
        for (int i = 0; i < Engine::totals; ++i) total[r][t][i] = vec{};
    for (std::int64_t b = 0; b < blocks; ++b, current = 1 - current) {
      lookahead<Engine, T, code> look{};
      int const groups = job.groups(b), next_groups = codes.read(s, b + 1, look.code) ? job.groups(b + 1 < blocks ? b + 1 : 0) : 0;
      look.into = &decoded[1 - current];
      look.groups = next_groups;
      block_of<Engine> const a = job.gather(rows, s, b, buffer, scale);
      // Each tile asks for a part of a block further on, at the pace of the sums: asking for all of it at once would wait for memory.
      for (int i = 0; i < tiles; ++i, look.groups = 0) {
        int const row = rows * i / tiles;
        codes.ask(s, b + Policy.panel_ahead, i, tiles, look.ahead);
        look.rows = reinterpret_cast<char const*>(is_blocked<Rows> ? job.next_rows(b + 1 < blocks ? b + 1 : 0) + row : a + row);
        with_rows<Policy.panel_tile>(rows * (i + 1) / tiles - row, [&](auto r) {
          add_panel<Engine, decltype(r)::value>(decoded[current], a + row, scale, row, groups, look, total + row);
        });
      }
      if (groups < next_groups) decode(look.code, groups, next_groups, decoded[1 - current]);
    }
    finish<Engine, T>(rows, total, out + (s - s0) * strip, stride);
  }
}

}  // namespace moesaic::inline MOESAIC_ABI::cpu::detail
