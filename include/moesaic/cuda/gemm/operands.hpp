// Eight consecutive elements of a row or of a weight row, from memory as they are stored to bf16 terms as mma.sync reads them.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include <moesaic/cuda/gemm/bf16_terms.hpp>
#include <moesaic/cuda/ptx/mma_sync.hpp>
#include <moesaic/num/convert.hpp>
#include <moesaic/semantics/gemm.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

/// Eight elements of T as they lie in memory.
template <class T>
struct eight {
  static constexpr int words = 2 * static_cast<int>(sizeof(T));
  std::uint32_t word[words];
};

/// p[0 … 8), zeros from p[left] on; by loads of 16 bytes (8 for bytes) where the address allows it. left ≤ 0 reads nothing.
template <class T>
__device__ inline eight<T> load_eight(T const* p, int left) {
  constexpr unsigned vector = sizeof(T) == 1 ? 8 : 16;
  eight<T> v;
  if (left >= 8 && reinterpret_cast<std::uintptr_t>(p) % vector == 0) {
    if constexpr (sizeof(T) == 1) {
      uint2 const u = __ldg(reinterpret_cast<uint2 const*>(p));
      v.word[0] = u.x, v.word[1] = u.y;
    } else {
#pragma unroll
      for (int i = 0; i < v.words / 4; ++i) {
        uint4 const u = __ldg(reinterpret_cast<uint4 const*>(p) + i);
        v.word[4 * i] = u.x, v.word[4 * i + 1] = u.y, v.word[4 * i + 2] = u.z, v.word[4 * i + 3] = u.w;
      }
    }
    return v;
  }
#pragma unroll
  for (int i = 0; i < v.words; ++i) v.word[i] = 0;
#pragma unroll
  for (int i = 0; i < 8; ++i)
    if (i < left) {
      std::uint32_t bits;
      if constexpr (sizeof(T) == 4)
        bits = to_bits(p[i]);
      else if constexpr (sizeof(T) == 2)
        bits = p[i].bits;
      else
        bits = p[i];
      constexpr int size = static_cast<int>(sizeof(T));
      v.word[i * size / 4] |= bits << (i * size % 4 * 8);
    }
  return v;
}

/// One term of eight elements: word i holds elements 2i and 2i + 1.
using bf16_eight = uint4;

/// Four E4M3 codes of one word as two pairs. With_nan: the codes 0x7F and 0xFF give NaN; else ±480, for codes that a loader has checked.
template <bool With_nan>
__device__ inline void e4m3_pairs(std::uint32_t codes, std::uint32_t& low, std::uint32_t& high) {
  std::uint32_t const f = e4m3_fields(__byte_perm(codes, 0, 0x1404)), g = e4m3_fields(__byte_perm(codes, 0, 0x3424));
  low = ptx::times_2_to_120(f), high = ptx::times_2_to_120(g);
  if constexpr (With_nan) low |= e4m3_nan_mask(f), high |= e4m3_nan_mask(g);
}

/// Of a word of two fp32: adds pair i to term 0, 1, 2 and answers whether anything is behind the first.
__device__ inline bool split_pair(float x, float y, std::uint32_t& first, std::uint32_t& second, std::uint32_t& third) {
  float const x1 = behind_first_term(x), y1 = behind_first_term(y), x2 = behind_first_term(x1), y2 = behind_first_term(y1);
  first = upper_halves(to_bits(x), to_bits(y));
  second = upper_halves(to_bits(x1), to_bits(y1));
  third = upper_halves(to_bits(x2), to_bits(y2));
  return (abs_bits(x1) | abs_bits(y1)) != 0;
}

/// How rows become terms: element, terms, row(rows, r), and split(…), which answers whether any term but the first is not zero.
template <class Rows>
struct row_operand;

template <>
struct row_operand<f32_rows> {
  using element = float;
  static constexpr int terms = 3;
  static __device__ element const* row(f32_rows const& rows, std::int64_t r) { return rows.row(r); }
  static __device__ bool split(eight<float> const& v, bf16_eight (&term)[terms]) {
    bool more = false;
    more |= split_pair(from_bits(v.word[0]), from_bits(v.word[1]), term[0].x, term[1].x, term[2].x);
    more |= split_pair(from_bits(v.word[2]), from_bits(v.word[3]), term[0].y, term[1].y, term[2].y);
    more |= split_pair(from_bits(v.word[4]), from_bits(v.word[5]), term[0].z, term[1].z, term[2].z);
    more |= split_pair(from_bits(v.word[6]), from_bits(v.word[7]), term[0].w, term[1].w, term[2].w);
    return more;
  }
};

template <>
struct row_operand<matrix_view<bf16 const>> {
  using element = bf16;
  static constexpr int terms = 1;
  static __device__ element const* row(matrix_view<bf16 const> const& rows, std::int64_t r) { return rows.row(r); }
  static __device__ bool split(eight<bf16> const& v, bf16_eight (&term)[terms]) {
    term[0] = {v.word[0], v.word[1], v.word[2], v.word[3]};
    return false;
  }
};

/// fp16 has 11 bits: two terms.
template <>
struct row_operand<matrix_view<fp16 const>> {
  using element = fp16;
  static constexpr int terms = 2;
  static __device__ element const* row(matrix_view<fp16 const> const& rows, std::int64_t r) { return rows.row(r); }
  static __device__ bool split(eight<fp16> const& v, bf16_eight (&term)[terms]) {
    bool more = false;
    more |= split_word(v.word[0], term[0].x, term[1].x);
    more |= split_word(v.word[1], term[0].y, term[1].y);
    more |= split_word(v.word[2], term[0].z, term[1].z);
    more |= split_word(v.word[3], term[0].w, term[1].w);
    return more;
  }

 private:
  static __device__ bool split_word(std::uint32_t pair, std::uint32_t& first, std::uint32_t& second) {
    std::uint32_t third;
    return split_pair(to_float(fp16{static_cast<std::uint16_t>(pair)}), to_float(fp16{static_cast<std::uint16_t>(pair >> 16)}), first,
                      second, third);
  }
};

template <class Scale>
struct row_operand<quantized_rows<Scale>> {
  using element = std::uint8_t;
  static constexpr int terms = 1;
  static __device__ element const* row(quantized_rows<Scale> const& rows, std::int64_t r) { return rows.codes + r * rows.cols; }
  static __device__ bool split(eight<std::uint8_t> const& v, bf16_eight (&term)[terms]) {
    e4m3_pairs<true>(v.word[0], term[0].x, term[0].y);
    e4m3_pairs<true>(v.word[1], term[0].z, term[0].w);
    return false;
  }
};

/// Whether mma.sync multiplies weights of this format exactly. fp32 weights are left to fma.
template <weight_format F>
inline constexpr bool is_one_bf16_term = F != weight_format::f32;

/// A row that is read eight elements at a time; outside the matrix it is all zeros.
template <class T>
struct row_reader {
  T const* first;
  int columns;  // 0: no row

  __device__ eight<T> at(int k) const { return load_eight(first + k, columns - k); }
};
template <class Rows>
__device__ inline auto read_row(Rows const& rows, std::int64_t r) {
  using operand = row_operand<Rows>;
  return row_reader<typename operand::element>{operand::row(rows, r < 0 ? 0 : r), r < 0 ? 0 : static_cast<int>(rows.cols)};
}
template <weight_format F>
__device__ inline row_reader<weight_code_t<F>> read_weights(weight_matrices<F> const& w, std::int64_t e, std::int64_t n) {
  return {w.row(e, n < w.n ? n : 0), n < w.n ? static_cast<int>(w.k) : 0};
}
__device__ inline bf16_eight weight_term(eight<bf16> const& v) { return {v.word[0], v.word[1], v.word[2], v.word[3]}; }
__device__ inline bf16_eight weight_term(eight<std::uint8_t> const& v) {
  bf16_eight t;
  e4m3_pairs<false>(v.word[0], t.x, t.y);
  e4m3_pairs<false>(v.word[1], t.z, t.w);
  return t;
}

/// block += the products of 32 columns, for 16 rows and 8 weight rows: `low` holds columns 8q … 8q+7 of row g, `high` of row g + 8, `w` of
/// weight row g (g = lane / 4, q = lane % 4), so that a thread's columns 4i … 4i+3 of them make step i. mma.sync cuts its sums where fp32
/// rounds, so each step starts from zero, smallest terms first, and its sum is added here. More: terms behind the first are not all zero;
/// to leave zeros out changes no bit. The order of additions is the same in every kernel: those of 128 columns make a block, ascending.
template <bool More, int Terms>
__device__ inline void multiply_32(float (&block)[4], bf16_eight const (&low)[Terms], bf16_eight const (&high)[Terms],
                                   bf16_eight const& w) {
#pragma unroll
  for (int step = 0; step < 2; ++step) {
    std::uint32_t const b[2] = {step == 0 ? w.x : w.z, step == 0 ? w.y : w.w};
    float sum[4] = {};
#pragma unroll
    for (int t = More ? Terms - 1 : 0; t >= 0; --t) {
      std::uint32_t const a[4] = {step == 0 ? low[t].x : low[t].z, step == 0 ? high[t].x : high[t].z, step == 0 ? low[t].y : low[t].w,
                                  step == 0 ? high[t].y : high[t].w};
      ptx::mma_bf16(sum, a, b);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) block[i] = __fadd_rn(block[i], sum[i]);
  }
}

}  // namespace moesaic::inline MOESAIC_ABI::cuda
