// The engine amx_bf16: E4M3 or bf16 weights times bf16 rows on AMX's tiles, sums in fp32. Not run yet on a processor that has them.
//
// Linux gives tiles only to processes that ask, once, before any of their threads multiplies; otherwise the first instruction on a tile is
// a SIGILL. moesaic makes no system calls, so that is its caller's to do:
//
//   syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18 /* tile data */) == 0
//
// A call leaves no tile configured: whoever configures tiles of his own does so again behind it.
#pragma once

#include <cstdint>

#include <moesaic/cpu/engine/bf16_dot.hpp>

namespace moesaic::inline MOESAIC_ABI::cpu::detail {

#if defined(__AMX_BF16__) && defined(__AMX_TILE__) && defined(__AVX512BF16__) && defined(__AVX512BW__)

/// bf16_dot's numbers, multiplied 16 rows × 16 weight rows × 32 columns at a time. A tile's even columns are added in ascending order by
/// fma, and so are its odd ones, each from 0; then even + odd is added to the sum, tile after tile. Denormal operands and results are zero.
template <weight_format F>
struct amx_bf16 : bf16_dot<F> {
  /// The most rows of a tile. An engine that has this multiplies whole blocks of one strip, and nothing in the skinny kernel.
  static constexpr int tile_rows = 16;
  static constexpr int tile_groups = 8;
  static_assert(tile_groups * bf16_dot<F>::weights == 16, "a tile of weights is 16 decoded vectors: a pair of columns of each weight row");

  /// Tiles of `rows` rows cut into `tiles` nearly equal heights, for as long as this lives. Two heights differ by one: each has the
  /// registers of its parity, that of sums (0, 1) and that of rows (2, 3). Weights have register 4.
  class session {
   public:
    session(int rows, int tiles) {
      struct {
        std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
        std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64};
        std::uint8_t rows[16] = {};
      } shape;
      static_assert(sizeof shape == 64);
      for (int const height : {rows / tiles, (rows + tiles - 1) / tiles})
        shape.rows[height % 2] = shape.rows[2 + height % 2] = static_cast<std::uint8_t>(height);
      for (int parity = 0; parity < 2; ++parity)  // registers that are not used: bytes without rows would be refused
        if (shape.rows[parity] == 0) shape.rows[parity] = shape.rows[2 + parity] = 1;
      shape.rows[4] = tile_rows;
      __asm__ volatile("ldtilecfg %0" ::"m"(shape) : "memory");
    }
    ~session() { __asm__ volatile("tilerelease" ::: "memory"); }
    session(session const&) = delete;
  };

  /// sum[r] = groups [0, groups) of `weight`, a block of one strip, times the same columns of a[r], for R rows. Columns of `a` behind the
  /// last group are zero. meanwhile(g): what else is to be done, once for each group.
  template <int R, class Meanwhile>
  MOESAIC_INLINE static void multiply_block(halves const* weight, bf16 const (*a)[scale_block], int groups, Meanwhile const& meanwhile,
                                            vec* sum) {
    static_assert(R <= tile_rows);
    constexpr int sums = R % 2, rows = 2 + R % 2;
    __asm__ volatile("{tilezero %%tmm%c0|tilezero tmm%c0}" ::"i"(sums));
    for (int g = 0; g < groups; g += tile_groups) {
      halves const* from = weight + g * bf16_dot<F>::weights;
      alignas(64) halves rest[tile_groups * bf16_dot<F>::weights];
      if (groups - g < tile_groups) {  // what lies behind the last group may be infinite
        for (int i = 0; i < tile_groups * bf16_dot<F>::weights; ++i) rest[i] = i < (groups - g) * bf16_dot<F>::weights ? from[i] : halves{};
        from = rest;
      }
      load_tile<rows>(a[0] + g * group_columns, sizeof a[0]);
      load_tile<4>(from, sizeof *from);
      __asm__ volatile("{tdpbf16ps %%tmm4, %%tmm%c1, %%tmm%c0|tdpbf16ps tmm%c0, tmm%c1, tmm4}" ::"i"(sums), "i"(rows));
      for (int i = g; i < g + tile_groups && i < groups; ++i) meanwhile(i);
    }
    __asm__ volatile("{tilestored %%tmm%c0, (%1,%2,1)|tilestored [%1+%2*1], tmm%c0}" ::"i"(sums), "r"(sum), "r"(sizeof *sum) : "memory");
  }

 private:
  template <int Tile>
  MOESAIC_INLINE static void load_tile(void const* from, std::uint64_t stride) {
    __asm__ volatile("{tileloadd (%1,%2,1), %%tmm%c0|tileloadd tmm%c0, [%1+%2*1]}" ::"i"(Tile), "r"(from), "r"(stride) : "memory");
  }
};

#endif

}  // namespace moesaic::inline MOESAIC_ABI::cpu::detail
