// The grouped GEMM of all engines: a skinny kernel that decodes weights in registers, for the few rows an expert has in decode, and a panel
// kernel that decodes them to L1 once, for more. Both add in the same order, so a row's bits never show which.
#pragma once

#include <cstdint>
#include <type_traits>

#include <moesaic/core/views.hpp>
#include <moesaic/cpu/codes.hpp>
#include <moesaic/cpu/engine/amx_bf16.hpp>
#include <moesaic/cpu/engine/bf16_dot.hpp>
#include <moesaic/cpu/engine/fp16_chunked.hpp>
#include <moesaic/cpu/engine/fp32_exact.hpp>
#include <moesaic/cpu/pack.hpp>
#include <moesaic/cpu/pool.hpp>
#include <moesaic/cpu/rows.hpp>
#include <moesaic/semantics/gemm.hpp>
#include <moesaic/tune/cpu_gemm.hpp>

namespace moesaic::inline MOESAIC_ABI::cpu {

namespace detail {

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

/// What a panel needs while it is multiplied by.
template <class Engine>
struct panel_session {
  panel_session(int, int) {}
};
template <class Engine>
requires(has_tiles<Engine>) struct panel_session<Engine> : Engine::session {
  using Engine::session::session;
};

/// The unit of prefetching, in groups.
inline constexpr int prefetch_unit = 16;

/// sum[r][t] += groups [0, groups) of strip t times the same columns of row a[r], columns ascending; codes are decoded as they are read.
/// `ahead[t]`: what to ask memory for meanwhile.
template <class Engine, int R, int T, class Code>
MOESAIC_INLINE void add_decoding(Code const* const* code, Code const* const* ahead, typename Engine::element const (*a)[scale_block],
                                 int at, int groups, typename Engine::sum (&sum)[R][T][Engine::sums]) {
  constexpr int per_step = Engine::weights / Engine::steps;
  for (int g = 0; g < groups; ++g) {
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) {
      for (int line = 0; line < static_cast<int>(sizeof(Code)); ++line)
        __builtin_prefetch(reinterpret_cast<char const*>(ahead[t] + g * group_elements) + line * 64, 0, 3);
      typename Engine::weight w[Engine::weights];
      Engine::load(code[t] + g * group_elements, w);
#pragma GCC unroll 16
      for (int i = 0; i < Engine::weights; ++i)
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r)
          Engine::multiply_add(Engine::multiplier(a[r] + (at + g) * group_columns, i / per_step), w[i], sum[r][t][i % Engine::sums]);
    }
  }
}

/// total += sum · scale.
template <class Engine, int R, int T>
MOESAIC_INLINE void promote(typename Engine::sum const (&sum)[R][T][Engine::sums], float const* scale, vec (*total)[T][Engine::totals]) {
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    vec const s = broadcast(scale[r]);
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) Engine::promote(sum[r][t], s, total[r][t]);
  }
}

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
  Code const* code;
  std::int64_t strip_size;
  panel<Engine, T>* into;
  int groups;
  char const* ahead[2];
  char const* rows;
};

/// total[r][t] += scale[r] · (groups [0, groups) of strip t times the same columns of row a[r]), columns ascending in each chunk.
template <class Engine, int R, int T, class Code>
void add_panel(panel<Engine, T> const& from, typename Engine::element const (*a)[scale_block], float const* scale, int groups,
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
        for (int t = 0; t < T; ++t) Engine::load(next.code + t * next.strip_size + g * group_elements, next.into->at[g][t]);
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
    promote<Engine, R, T>(sum, scale, total);
  }
}

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

template <class Rows>
inline constexpr bool is_blocked = false;
template <tune::cpu_engine Name, bool Scaled>
inline constexpr bool is_blocked<blocked_rows<Name, Scaled>> = true;

/// Rows of 128 elements each, one after another.
template <class Engine>
using block_of = typename Engine::element const (*)[scale_block];

/// Some rows times some strips of one expert's weights; `source`: where each row lies in a.
template <class Engine, class Rows, class Weights>
struct strip_job;
template <class Engine, class Rows, template <weight_format> class Weights, weight_format F>
struct strip_job<Engine, Rows, Weights<F>> {
  Rows const& a;
  std::int64_t const* source;
  Weights<F> const& w;
  std::int64_t expert;

  std::int64_t columns(std::int64_t block) const {
    std::int64_t const left = w.k - block * scale_block;
    return left < scale_block ? left : scale_block;
  }
  int groups(std::int64_t block) const { return static_cast<int>(ceil_div(columns(block), group_columns)); }
  float weight_scale(std::int64_t s, std::int64_t block) const {
    float scale = Engine::unit;
    if constexpr (F == weight_format::e4m3_128x128) scale *= grid_row(w, expert, s * strip / scale_block)[block];
    return scale;
  }
  /// Where they lie in a block that will be wanted.
  MOESAIC_INLINE block_of<Engine> next_rows(std::int64_t block) const {
    if constexpr (is_blocked<Rows>)
      return a.block(block, source[0]);
    else
      return nullptr;
  }

  /// One block of `rows` rows, side by side, and what its products are scaled by: where blocked rows lie, or a copy in
  /// `buffer` (rows that lie a multiple of 4096 bytes apart would drive each other out of L1).
  MOESAIC_INLINE block_of<Engine> gather(int rows, std::int64_t block, float weight_scale, typename Engine::element (*buffer)[scale_block],
                                         float* scale) const {
    if constexpr (is_blocked<Rows>) {
      for (int r = 0; r < rows; ++r) scale[r] = a.scales != nullptr ? a.scale(block, source[0])[r] * weight_scale : weight_scale;
      return a.block(block, source[0]);
    } else {
      int const depth = static_cast<int>(columns(block));
      for (int r = 0; r < rows; ++r) {
        copy_columns(a, source[r], block * scale_block, depth, buffer[r]);
        for (int i = depth; i % group_columns != 0; ++i) buffer[r][i] = {};
        scale[r] = row_scale(a, source[r], block) * weight_scale;
      }
      return buffer;
    }
  }
};

/// out[r][0 … 16 T) from the sums of `rows` rows and T strips.
template <class Engine, int T>
MOESAIC_INLINE void finish(int rows, vec const (*total)[T][Engine::totals], float* out, std::int64_t stride) {
  for (int r = 0; r < rows; ++r)
    for (int t = 0; t < T; ++t) Engine::finish(total[r][t], out + r * stride + t * strip);
}

/// out[r][0 … 16 T) for R rows and strips s … s + T − 1; `next`: the strip that will be read after strip s + T − 1.
template <tune::cpu_gemm_policy Policy, int R, int T, class Engine, class Rows, weight_format F>
void multiply_skinny(strip_job<Engine, Rows, packed_matrices<F>> const& job, std::int64_t s, weight_code_t<F> const* next, float* out,
                     std::int64_t stride) {
  constexpr std::int64_t ahead = Policy.prefetch_groups;
  constexpr int unit = Engine::chunk < prefetch_unit ? Engine::chunk : prefetch_unit;
  std::int64_t const all = job.w.groups();
  vec total[R][T][Engine::totals] = {};
  for (std::int64_t b = 0; b * scale_block < job.w.k; ++b) {
    float scale[R];
    alignas(64) typename Engine::element buffer[R][scale_block];
    block_of<Engine> const a = job.gather(R, b, job.weight_scale(s, b), buffer, scale);
    int const groups = job.groups(b);
    for (int first = 0; first < groups; first += Engine::chunk) {
      typename Engine::sum sum[R][T][Engine::sums] = {};
      int const last = first + Engine::chunk < groups ? first + Engine::chunk : groups;
      for (int g = first; g < last; g += unit) {
        weight_code_t<F> const *code[T], *wanted[T];
        std::int64_t const at = b * block_groups + g;
        for (int t = 0; t < T; ++t) {
          code[t] = job.w.strip_codes(job.expert, s + t) + at * group_elements;
          wanted[t] = at + ahead < all ? code[t] + ahead * group_elements : next + (t * all + at + ahead - all) * group_elements;
        }
        add_decoding<Engine>(code, wanted, a, g, last - g < unit ? last - g : unit, sum);
      }
      promote<Engine, R, T>(sum, scale, total);
    }
  }
  finish<Engine, T>(R, total, out, stride);
}

/// Strips side by side for R rows: as many as their sums leave registers for.
template <class Engine>
constexpr int strips_for(int sums, int rows) {
  return has_tiles<Engine> ? 1 : 4 * rows * Engine::sums <= sums ? 4 : 2 * rows * Engine::sums <= sums ? 2 : 1;
}

/// f<T>(s) for the strips [s0, s1), T at a time, then one at a time.
template <int T, class F>
MOESAIC_INLINE void for_each_strips(std::int64_t s0, std::int64_t s1, F const& f) {
  std::int64_t s = s0;
  for (; s + T <= s1; s += T) f(std::integral_constant<int, T>{}, s);
  if constexpr (T > 1)
    for (; s < s1; ++s) f(std::integral_constant<int, 1>{}, s);
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

/// out[r][(s − s0) · 16 …) for up to panel_rows rows and the strips [s0, s1), T at a time: a multiple of T. While the first rows are
/// multiplied with a block, the next one is decoded: the one keeps the multipliers busy, the other the stores.
template <tune::cpu_gemm_policy Policy, int T, class Engine, class Rows, class Weights>
void multiply_panel(int rows, strip_job<Engine, Rows, Weights> const& job, std::int64_t s0, std::int64_t s1, float* out,
                    std::int64_t stride) {
  // Tiles of nearly equal height: a last tile of one row would wait for its own sums.
  int const tiles = (rows + Policy.panel_tile - 1) / Policy.panel_tile;
  [[maybe_unused]] panel_session<Engine> const session(rows, tiles);
  block_codes<T, Weights> codes(job.w, job.expert, s1);
  using code = typename block_codes<T, Weights>::code;
  std::int64_t const strip_size = codes.strip_size(), blocks = ceil_div(job.w.k, scale_block);
  auto const decode = [&](code const* from, int g0, int g1, panel<Engine, T>& to) {
    for (int g = g0; g < g1; ++g)
      for (int t = 0; t < T; ++t) Engine::load(from + t * strip_size + g * group_elements, to.at[g][t]);
  };
  panel<Engine, T> decoded[2];
  int current = 0;
  decode(codes.read(s0, 0), 0, job.groups(0), decoded[current]);
  alignas(64) typename Engine::element buffer[Policy.panel_rows][scale_block];
  float scale[Policy.panel_rows];
  vec total[Policy.panel_rows][T][Engine::totals];
  for (std::int64_t s = s0; s < s1; s += T) {
    for (int r = 0; r < rows; ++r)
      for (int t = 0; t < T; ++t)
        for (int i = 0; i < Engine::totals; ++i) total[r][t][i] = vec{};
    for (std::int64_t b = 0; b < blocks; ++b, current = 1 - current) {
      code const* const next = codes.read(s, b + 1);
      int const groups = job.groups(b), next_groups = next == nullptr ? 0 : job.groups(b + 1 < blocks ? b + 1 : 0);
      block_of<Engine> const a = job.gather(rows, b, job.weight_scale(s, b), buffer, scale);
      // Each tile asks for a part of the block after the next, at the pace of the sums: asking for all of it at once would wait for memory.
      for (int i = 0; i < tiles; ++i) {
        int const row = rows * i / tiles;
        lookahead<Engine, T, code> look{next, strip_size, &decoded[1 - current], i == 0 ? next_groups : 0, {}, nullptr};
        codes.ask(s, b + 2, i, tiles, look.ahead);
        look.rows = reinterpret_cast<char const*>(is_blocked<Rows> ? job.next_rows(b + 1 < blocks ? b + 1 : 0) + row : a + row);
        with_rows<Policy.panel_tile>(rows * (i + 1) / tiles - row, [&](auto r) {
          add_panel<Engine, decltype(r)::value, T>(decoded[current], a + row, scale + row, groups, look, total + row);
        });
      }
      if (groups < next_groups) decode(next, groups, next_groups, decoded[1 - current]);
    }
    finish<Engine, T>(rows, total, out + (s - s0) * strip, stride);
  }
}

/// out[r · stride + (s − s0) · 16 …) for the strips [s0, s1) of expert e and the rows [first_row, first_row + rows).
template <tune::cpu_gemm_policy Policy, class Rows, template <weight_format> class Weights, weight_format F>
void multiply_strips(int rows, gemm_input<Rows> const& a, Weights<F> const& w, std::int64_t e, std::int64_t s0, std::int64_t s1,
                     std::int64_t first_row, float* out, std::int64_t stride) {
  using Engine = decltype(engine_of<Policy, F>());
  std::int64_t source[Policy.panel_rows];
  for (int r = 0; r < rows; ++r) source[r] = a.source(first_row + r);
  if (w.k == 0) {  // nothing to add
    for (int r = 0; r < rows; ++r)
      for (std::int64_t n = 0; n < (s1 - s0) * strip; ++n) out[r * stride + n] = 0.0F;
    return;
  }
  strip_job<Engine, Rows, Weights<F>> const job{a.rows, source, w, e};
  if constexpr (is_packed<Weights<F>> && !has_tiles<Engine>) {
    auto const skinny = [&](auto r) {
      constexpr int R = decltype(r)::value;
      constexpr int side_by_side = strips_for<Engine>(Policy.skinny_sums, R);
      // Nobody has asked for the beginning of this item.
      for (int t = 0; t < side_by_side && s0 + t < s1; ++t)
        for (std::size_t line = 0; line < Policy.prefetch_groups * sizeof(weight_code_t<F>); ++line)
          __builtin_prefetch(reinterpret_cast<char const*>(w.strip_codes(e, s0 + t)) + line * 64, 0, 3);
      for_each_strips<side_by_side>(s0, s1, [&](auto t, std::int64_t s) {
        constexpr int T = decltype(t)::value;
        auto const* const next = w.strip_codes(e, s + 2 * T <= s1 ? s + T : s);
        multiply_skinny<Policy, R, T>(job, s, next, out + (s - s0) * strip, stride);
      });
    };
    if (with_rows<Policy.skinny_rows>(rows, skinny)) return;
  }
  constexpr int side_by_side = strips_for<Engine>(Policy.panel_sums, Policy.panel_tile);
  std::int64_t const whole = s0 + (s1 - s0) / side_by_side * side_by_side;
  if (whole > s0) multiply_panel<Policy, side_by_side>(rows, job, s0, whole, out, stride);
  if (s1 > whole) multiply_panel<Policy, 1>(rows, job, whole, s1, out + (whole - s0) * strip, stride);
}

/// Strips of a row of the scale grid.
inline constexpr int grid_strips = scale_block / strip;

/// One item of work for each expert and so many strips: f(expert, first strip, end of strips, first row, rows), the rows in panels.
template <tune::cpu_gemm_policy Policy, class Weights, class P, class Panel>
void for_each_panel(P& threads, Weights const& w, std::int32_t const* expert_offsets, std::int64_t all_rows, int strips_per_item,
                    Panel const& f) {
  std::int64_t const strips = ceil_div(w.n, strip), items = ceil_div(strips, strips_per_item);
  threads.parallel_for(w.experts * items, [&](std::int64_t item) {
    std::int64_t const e = item / items;
    std::int64_t const first = expert_offsets != nullptr ? expert_offsets[e] : 0;
    std::int64_t const last = expert_offsets != nullptr ? expert_offsets[e + 1] : all_rows;
    std::int64_t const s0 = item % items * strips_per_item;
    std::int64_t const s1 = s0 + strips_per_item < strips ? s0 + strips_per_item : strips;
    std::int64_t const panels = ceil_div(last - first, Policy.panel_rows);
    for (std::int64_t p = 0; p < panels; ++p) {  // of nearly equal height
      std::int64_t const row = first + (last - first) * p / panels, end = first + (last - first) * (p + 1) / panels;
      f(e, s0, s1, row, static_cast<int>(end - row));
    }
  });
}

}  // namespace detail

/// out.row(r) = a.row(source of r) · W_eᵀ for every row r of every expert e. Rows: f32_rows or quantized_rows, gathered or not, or
/// blocked_rows of the policy's engine, sorted by expert. Weights: packed_matrices, or weight_matrices as a checkpoint has them, which
/// cost a packing of every block each time it is read. Deterministic, batch-invariant, the same bits for either. Each output is, by engine:
///  fp32_exact    Σ_b scale_b · (the even columns of block b, added in ascending order by fma) + the same of the odd columns: the same bits
///                on every instruction set with fma. Relative RMS error against float64 at most 2.5e-7
///  fp16_chunked  the same in fp16, promoted to fp32 every `promote` products: at most 1.66e-3
///  bf16_dot      Σ_b scale_b · (pairs of columns in ascending order, the odd one first, by fma): at most 2.5e-7 on what bf16 holds
///  amx_bf16      Σ_b scale_b · Σ of four (even columns of 32, ascending, by fma, + odd ones likewise): the same
template <tune::cpu_gemm_policy Policy, class Rows, template <weight_format> class Weights, weight_format F, pool P>
void grouped_gemm(P& threads, gemm_input<Rows> const& a, Weights<F> const& w, std::int32_t const* expert_offsets, matrix_view<float> out) {
  // One matrix of few rows, a router's, is little work for many threads: small items. Many experts with many rows: large ones, since an
  // item begins with weights that nobody has asked memory for.
  int const strips_per_item = w.experts == 1 && out.rows <= 64   ? detail::grid_strips / 4
                              : w.experts > 1 && out.rows >= 256 ? 4 * detail::grid_strips
                                                                 : detail::grid_strips;
  detail::for_each_panel<Policy>(
      threads, w, expert_offsets, out.rows, strips_per_item, [&](auto e, auto s0, auto s1, auto first, int rows) {
        std::int64_t const whole = s1 * strip <= w.n ? s1 : s1 - 1;
        if (whole > s0) detail::multiply_strips<Policy>(rows, a, w, e, s0, whole, first, out.row(first) + s0 * strip, out.stride);
        if (whole == s1) return;
        alignas(64) float c[Policy.panel_rows][strip];  // the last strip is not all there
        detail::multiply_strips<Policy>(rows, a, w, e, whole, s1, first, c[0], strip);
        for (int r = 0; r < rows; ++r)
          for (std::int64_t n = whole * strip; n < w.n; ++n) out(first + r, n) = c[r][n - whole * strip];
      });
}

}  // namespace moesaic::inline MOESAIC_ABI::cpu
