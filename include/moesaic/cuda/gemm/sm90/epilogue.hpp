// What becomes of a tile's sums: stored as they are, or taken through the activation and quantised.
#pragma once

#include <cstdint>

#include <moesaic/cuda/ptx/convert.hpp>
#include <moesaic/cuda/ptx/stmatrix.hpp>
#include <moesaic/cuda/ptx/warpgroup.hpp>
#include <moesaic/cuda/quantize.hpp>
#include <moesaic/num/bf16.hpp>
#include <moesaic/semantics/activation.hpp>
#include <moesaic/semantics/handoff.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::sm90 {

/// Where a warp's 16 rows of a tile lie: the first is row `row` of the output, `rows_left` of them exist, `column` is the tile's first.
struct warp_place {
  std::int64_t row;
  int rows_left;
  int column;
  int lane;

  __device__ int fragment_row() const { return lane / 4; }         // and 8 below it
  __device__ int fragment_column() const { return lane % 4 * 2; }  // and the next one, of each 8
};

/// Where the two warpgroups' 128 weight rows (columns of the output, from `column` on) times some tokens lie.
struct column_place {
  std::int64_t row;
  int rows_left;
  int column;
  int warp, lane;

  __device__ int fragment_column() const { return warp * 16 + lane / 4; }  // and 8 further on
  __device__ int fragment_row() const { return lane % 4 * 2; }             // and the next one, of each 8
  __device__ static constexpr int threads() { return 256; }
  __device__ int thread() const { return warp * 32 + lane; }
  __device__ static void meet() { ptx::named_barrier(1, threads()); }
};

/// out [M, n] of fp32, row-major.
struct store_f32 {
  static constexpr int matrices = 1;
  float* out;
  std::int64_t stride;

  template <int Pieces, int Half>
  __device__ void rows(float const (&sum)[Pieces][Half], char*, warp_place const& at) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      int const r = at.fragment_row() + 8 * half;
      if (r < at.rows_left) {
        float* const to = out + (at.row + r) * stride + at.column + at.fragment_column();
#pragma unroll
        for (int p = 0; p < Pieces; ++p)
#pragma unroll
          for (int j = 0; j < Half / 4; ++j)
            *reinterpret_cast<float2*>(to + p * Half * 2 + j * 8) = {sum[p][4 * j + 2 * half], sum[p][4 * j + 2 * half + 1]};
      }
    }
  }

  template <int Half>
  __device__ void columns(float const (&sum)[1][Half], char*, column_place const& at) const {
#pragma unroll
    for (int i = 0; i < Half; ++i) {
      int const r = i / 4 * 8 + at.fragment_row() + i % 2;
      if (r < at.rows_left) out[(at.row + r) * stride + at.column + at.fragment_column() + i / 2 % 2 * 8] = sum[0][i];
    }
  }
};

/// out [M, n] of bf16, row-major, rows 16-byte aligned.
struct store_bf16 {
  static constexpr int matrices = 1;
  bf16* out;
  std::int64_t stride;

  template <int Pieces, int Half>
  __device__ void rows(float const (&sum)[Pieces][Half], char* staging, warp_place const& at) const {
    constexpr int width = Half * 2, slab = 64, chunks = slab / 8;  // 16 bytes each
    int const lane = at.lane;
    int const matrix_row = lane % 8 + lane / 8 % 2 * 8;
#pragma unroll
    for (int p = 0; p < Pieces; ++p)
#pragma unroll
      for (int first = 0; first < width; first += slab) {
#pragma unroll
        for (int j = 0; j < chunks; j += 2) {
          int const i = (first / 8 + j) * 4;
          int const chunk = (j + lane / 16) ^ (matrix_row % chunks);
          ptx::stmatrix_x4(staging + matrix_row * slab * 2 + chunk * 16, ptx::narrow_pair<bf16>(sum[p][i], sum[p][i + 1]),
                           ptx::narrow_pair<bf16>(sum[p][i + 2], sum[p][i + 3]), ptx::narrow_pair<bf16>(sum[p][i + 4], sum[p][i + 5]),
                           ptx::narrow_pair<bf16>(sum[p][i + 6], sum[p][i + 7]));
        }
        __syncwarp();
        bf16* const to = out + at.row * stride + at.column + p * width + first;
#pragma unroll
        for (int r = lane / chunks; r < 16; r += 32 / chunks) {
          int const chunk = lane % chunks;
          if (r < at.rows_left)
            *reinterpret_cast<uint4*>(to + r * stride + chunk * 8) =
                *reinterpret_cast<uint4 const*>(staging + r * slab * 2 + (chunk ^ (r % chunks)) * 16);
        }
        __syncwarp();
      }
  }

  template <int Half>
  __device__ void columns(float const (&sum)[1][Half], char* staging, column_place const& at) const {
    constexpr int pitch = 272, tokens = Half * 2;
    at.meet();  // the last tile has been read
#pragma unroll
    for (int j = 0; j < Half / 4; ++j)
      ptx::stmatrix_x2_transposed(staging + (8 * j + at.lane % 8) * pitch + (at.warp * 16 + at.lane / 8 % 2 * 8) * 2,
                                  ptx::narrow_pair<bf16>(sum[0][4 * j], sum[0][4 * j + 1]),
                                  ptx::narrow_pair<bf16>(sum[0][4 * j + 2], sum[0][4 * j + 3]));
    at.meet();
#pragma unroll
    for (int i = at.thread(); i < tokens * 16; i += at.threads())
      if (i / 16 < at.rows_left)
        *reinterpret_cast<uint4*>(out + (at.row + i / 16) * stride + at.column + i % 16 * 8) =
            *reinterpret_cast<uint4 const*>(staging + i / 16 * pitch + i % 16 * 16);
  }
};

/// The activation of 128 gate and 128 up columns, quantised under one scale: hidden rows as the second GEMM reads them. The bits of
/// activate_quantize_rows, unless `Fast`: SwiGLU then takes __expf and __fdividef, by the CUDA guide's bounds within 5 + 1.2 |gate| units
/// of the last place of the exact one, and gives 0 for gates below −87. bench/gpu/gemm fails if that moves more than one E4M3 code in 2000.
template <class Scale, activation_fn A, class Terms, bool Fast>
struct activate_quantize {
  static constexpr int matrices = 2;
  quantized_rows<Scale> out;
  activation_rule<A, Terms> rule;

  using row_rule = typename activation_rule<A, Terms>::row_rule;

  /// The hidden value of one gate and one up sum in column c.
  __device__ static float hidden_value(row_rule const& of_row, float gate, float up, int c) {
    if constexpr (Fast && A == activation_fn::swiglu) {
      float const with_terms = of_row.terms.gate(gate, c), up_with_terms = of_row.terms.up(up, c), limit = of_row.limit;
      float const g = with_terms > limit ? limit : with_terms, below = up_with_terms > limit ? limit : up_with_terms;
      return __fdividef(g, 1.0F + __expf(-g)) * (below < -limit ? -limit : below);
    } else {
      return of_row(&gate, &up, 0, c);
    }
  }

  template <int Half>
  __device__ void rows(float const (&sum)[2][Half], char* staging, warp_place const& at) const {
    static_assert(Half == 64);
    constexpr int pitch = 144;  // 36 words: eight rows start in eight different groups of four banks
    int const lane = at.lane, block = at.column / scale_block;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      int const r = at.fragment_row() + 8 * half;
      bool const exists = r < at.rows_left;
      row_rule const of_row = rule.of_row(at.row + (exists ? r : at.rows_left - 1), out.cols);  // else the expert's last row
      float hidden[Half / 2];
      std::uint32_t amax = 0;
#pragma unroll
      for (int j = 0; j < Half / 4; ++j)
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          int const at_sum = 4 * j + 2 * half + i;
          hidden[2 * j + i] = hidden_value(of_row, sum[0][at_sum], sum[1][at_sum], at.column + 8 * j + at.fragment_column() + i);
          amax = max(amax, abs_bits(hidden[2 * j + i]));
        }
      amax = max(amax, __shfl_xor_sync(0xffffffffU, amax, 1));
      amax = max(amax, __shfl_xor_sync(0xffffffffU, amax, 2));
      Scale const scale = scale_for<Scale>(from_bits(amax));
      cuda::detail::quotient_of<float, Scale> const quotient(scale);
#pragma unroll
      for (int j = 0; j < Half / 4; ++j)
        *reinterpret_cast<std::uint16_t*>(staging + r * pitch + 8 * j + at.fragment_column()) =
            ptx::e4m3_pair(quotient(hidden[2 * j]), quotient(hidden[2 * j + 1]));
      if (exists && lane % 4 == 0) out.scale(block, at.row + r) = scale;
    }
    __syncwarp();
#pragma unroll
    for (int r = lane / 8; r < 16; r += 4)
      if (r < at.rows_left)
        *reinterpret_cast<uint4*>(out.codes + (at.row + r) * out.cols + at.column + lane % 8 * 16) =
            *reinterpret_cast<uint4 const*>(staging + r * pitch + lane % 8 * 16);
    __syncwarp();
  }

  template <int Half>
  __device__ void columns(float const (&sum)[2][Half], char* staging, column_place const& at) const {
    constexpr int pitch = 144, tokens = Half * 2, warps = column_place::threads() / 32;
    auto* const amax_of = reinterpret_cast<std::uint32_t*>(staging + tokens * pitch);  // [warps][tokens]
    float hidden[Half];
    at.meet();  // the last tile has been read
#pragma unroll
    for (int j = 0; j < Half / 4; ++j)
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        int const r = 8 * j + at.fragment_row() + i;
        row_rule const of_row = rule.of_row(r < at.rows_left ? at.row + r : at.row, out.cols);
        std::uint32_t amax = 0;
#pragma unroll
        for (int n = 0; n < 2; ++n) {
          int const at_sum = 4 * j + 2 * n + i;
          hidden[at_sum] = hidden_value(of_row, sum[0][at_sum], sum[1][at_sum], at.column + at.fragment_column() + 8 * n);
          amax = max(amax, abs_bits(hidden[at_sum]));
        }
#pragma unroll
        for (int d = 4; d < 32; d *= 2) amax = max(amax, __shfl_xor_sync(0xffffffffU, amax, d));
        if (at.lane < 4) amax_of[at.warp * tokens + r] = amax;
      }
    at.meet();
#pragma unroll
    for (int j = 0; j < Half / 4; ++j)
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        int const r = 8 * j + at.fragment_row() + i;
        std::uint32_t amax = 0;
#pragma unroll
        for (int w = 0; w < warps; ++w) amax = max(amax, amax_of[w * tokens + r]);
        Scale const scale = scale_for<Scale>(from_bits(amax));
        cuda::detail::quotient_of<float, Scale> const quotient(scale);
        std::uint32_t const codes = ptx::e4m3_pair(quotient(hidden[4 * j + i]), quotient(hidden[4 * j + 2 + i]));
        staging[r * pitch + at.fragment_column()] = static_cast<char>(codes & 0xff);
        staging[r * pitch + at.fragment_column() + 8] = static_cast<char>(codes >> 8);
        if (at.warp == 0 && at.lane < 4 && r < at.rows_left) out.scale(at.column / scale_block, at.row + r) = scale;
      }
    at.meet();
#pragma unroll
    for (int i = at.thread(); i < tokens * 8; i += at.threads())
      if (i / 8 < at.rows_left)
        *reinterpret_cast<uint4*>(out.codes + (at.row + i / 8) * out.cols + at.column + i % 8 * 16) =
            *reinterpret_cast<uint4 const*>(staging + i / 8 * pitch + i % 8 * 16);
  }
};

}  // namespace moesaic::inline MOESAIC_ABI::cuda::sm90
