// What the skinny and the panel kernel have in common: some rows times some strips, an engine's sums, and how they end.
#pragma once

#include <cstdint>
#include <type_traits>

#include <moesaic/core/views.hpp>
#include <moesaic/cpu/codes.hpp>
#include <moesaic/cpu/engine/amx_bf16.hpp>
#include <moesaic/cpu/engine/bf16_dot.hpp>
#include <moesaic/cpu/engine/fp16_chunked.hpp>
#include <moesaic/cpu/engine/fp32_exact.hpp>
#include <moesaic/cpu/rows.hpp>
#include <moesaic/semantics/gemm.hpp>
#include <moesaic/tune/cpu_gemm.hpp>

namespace moesaic::inline MOESAIC_ABI::cpu::detail {

/// The engine of a policy, for weights of format F.
template <tune::cpu_gemm_policy Policy, weight_format F>
constexpr auto engine_of() {
  using e = tune::cpu_engine;
  static_assert(Policy.engine != e::fp16_chunked || tune::has_fp16_arithmetic, "fp16_chunked needs AVX512-FP16 or Arm's half precision");
  static_assert(Policy.engine != e::bf16_dot || tune::has_bf16_dot, "bf16_dot needs AVX512-BF16");
  static_assert(Policy.engine != e::amx_bf16 || tune::has_amx_bf16, "amx_bf16 needs AMX-BF16 and AVX512-BF16");
  static_assert(Policy.engine != e::fp16_chunked || F == weight_format::e4m3_128x128, "fp16_chunked multiplies E4M3 weights");
  static_assert(Policy.engine != e::bf16_dot || F != weight_format::f32, "bf16_dot multiplies E4M3 or bf16 weights");
  static_assert(Policy.engine != e::amx_bf16 || F != weight_format::f32, "amx_bf16 multiplies E4M3 or bf16 weights");
#if defined(__AVX512FP16__) || defined(__ARM_FEATURE_FP16_VECTOR_ARITHMETIC)
  if constexpr (Policy.engine == e::fp16_chunked) return fp16_chunked<Policy.promote>{};
#endif
#if defined(__AVX512BF16__) && defined(__AVX512BW__)
  if constexpr (Policy.engine == e::bf16_dot) return bf16_dot<F>{};
#endif
#if defined(__AMX_BF16__) && defined(__AMX_TILE__) && defined(__AVX512BF16__) && defined(__AVX512BW__)
  if constexpr (Policy.engine == e::amx_bf16) return amx_bf16<F>{};
#endif
  if constexpr (Policy.engine == e::fp32_exact) return fp32_exact<F>{};
}

/// Whether an engine multiplies matrices of rows: blocks of one strip at once, in the panel kernel alone.
template <class Engine>
inline constexpr bool has_tiles = requires {
  Engine::tile_rows;
};

template <class Rows>
inline constexpr bool is_blocked = false;
template <tune::cpu_engine Name, bool Scaled>
inline constexpr bool is_blocked<blocked_rows<Name, Scaled>> = true;

/// Rows of 128 elements each, one after another.
template <class Engine>
using block_of = typename Engine::element const (*)[scale_block];

/// to[0 … depth) = columns of row r from `first` on.
MOESAIC_INLINE void copy_columns(f32_rows const& rows, std::int64_t r, std::int64_t first, int depth, float* to) {
  float const* const from = rows.row(r) + first;
  if (depth == scale_block)
    __builtin_memcpy(to, from, scale_block * sizeof(float));  // of known size: vectors instead of a call
  else
    for (int i = 0; i < depth; ++i) to[i] = from[i];
}
template <class Scale>
MOESAIC_INLINE void copy_columns(quantized_rows<Scale> const& rows, std::int64_t r, std::int64_t first, int depth, float* to) {
  std::uint8_t const* const code = rows.codes + r * rows.cols + first;
  for (int i = 0; i < depth; ++i) to[i] = e4m3_to_float(code[i]);
}

/// Some rows times some strips of one expert's weights; `source`: where each row lies in a.
template <class Engine, class Rows, class Strips>
struct strip_job {
  Rows const& a;
  std::int64_t const* source;
  Strips const& w;

  /// Of T strips side by side: gate's and up's differ.
  template <int T>
  static constexpr int scales = T > 1 ? Strips::matrices : 1;

  std::int64_t columns(std::int64_t block) const {
    std::int64_t const left = w.k() - block * scale_block;
    return left < scale_block ? left : scale_block;
  }
  int groups(std::int64_t block) const { return static_cast<int>(ceil_div(columns(block), group_columns)); }
  /// Where they lie in a block that will be wanted.
  MOESAIC_INLINE block_of<Engine> next_rows(std::int64_t block) const {
    if constexpr (is_blocked<Rows>)
      return a.block(block, source[0]);
    else
      return nullptr;
  }

  /// One block of `rows` rows, side by side, and what its products with strip s + i are scaled by, scale[i]: where blocked rows lie, or a
  /// copy in `buffer` (rows that lie a multiple of 4096 bytes apart would drive each other out of L1).
  template <int Scales, std::size_t Most>
  MOESAIC_INLINE block_of<Engine> gather(int rows, std::int64_t s, std::int64_t block, typename Engine::element (*buffer)[scale_block],
                                         float (&scale)[Scales][Most]) const {
    float weight_scale[Scales];
    for (int i = 0; i < Scales; ++i) {
      weight_scale[i] = Engine::unit;
      if constexpr (Strips::format == weight_format::e4m3_128x128) weight_scale[i] *= w.grid(s + i)[block];
    }
    if constexpr (is_blocked<Rows>) {
      for (int i = 0; i < Scales; ++i)
        for (int r = 0; r < rows; ++r) scale[i][r] = a.scales != nullptr ? a.scale(block, source[0])[r] * weight_scale[i] : weight_scale[i];
      return a.block(block, source[0]);
    } else {
      int const depth = static_cast<int>(columns(block));
      for (int r = 0; r < rows; ++r) {
        copy_columns(a, source[r], block * scale_block, depth, buffer[r]);
        for (int c = depth; c % group_columns != 0; ++c) buffer[r][c] = {};
        for (int i = 0; i < Scales; ++i) scale[i][r] = row_scale(a, source[r], block) * weight_scale[i];
      }
      return buffer;
    }
  }
};

/// total[r] += sum[r] · scale[strip's][row + r].
template <class Engine, int R, int T, int Scales, std::size_t Most>
MOESAIC_INLINE void promote(typename Engine::sum const (&sum)[R][T][Engine::sums], float const (&scale)[Scales][Most], int row,
                            vec (*total)[T][Engine::totals]) {
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    vec s[Scales];
    for (int i = 0; i < Scales; ++i) s[i] = broadcast(scale[i][row + r]);
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) Engine::promote(sum[r][t], s[t % Scales], total[r][t]);
  }
}

/// out[r][0 … 16 T) from the sums of `rows` rows and T strips.
template <class Engine, int T>
MOESAIC_INLINE void finish(int rows, vec const (*total)[T][Engine::totals], float* out, std::int64_t stride) {
  for (int r = 0; r < rows; ++r)
    for (int t = 0; t < T; ++t) Engine::finish(total[r][t], out + r * stride + t * strip);
}

/// Strips side by side for R rows: as many as their sums leave registers for.
template <class Engine>
constexpr int strips_for(int sums, int rows) {
  return has_tiles<Engine> ? 1 : 4 * rows * Engine::sums <= sums ? 4 : 2 * rows * Engine::sums <= sums ? 2 : 1;
}

/// f(R as a type) for rows = R in 1 … Most; whether that was so.
template <int Most, class F>
MOESAIC_INLINE bool with_rows(int rows, F const& f) {
  if constexpr (Most == 0) {
    return false;
  } else {
    if (rows != Most) return with_rows<Most - 1>(rows, f);
    f(std::integral_constant<int, Most>{});
    return true;
  }
}

}  // namespace moesaic::inline MOESAIC_ABI::cpu::detail
