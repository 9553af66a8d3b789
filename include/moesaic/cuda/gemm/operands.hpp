// 16 bytes of a row or of a weight row as mma.sync reads them, from memory as they are stored: eight bf16, which anything but fp32 weights
// becomes exactly, or sixteen E4M3 codes where the tensor cores multiply those.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <type_traits>

#include <moesaic/cuda/gemm/bf16_terms.hpp>
#include <moesaic/cuda/ptx/mma_sync.hpp>
#include <moesaic/num/convert.hpp>
#include <moesaic/semantics/gemm.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

/// Count elements of T as they lie in memory.
template <class T, int Count>
struct elements {
  static constexpr int words = Count * static_cast<int>(sizeof(T)) / 4;
  std::uint32_t word[words];
};
template <class T>
using eight = elements<T, 8>;

/// Bytes of the loads that bring them.
template <class T, int Count>
inline constexpr unsigned load_bytes = Count * sizeof(T) == 8 ? 8 : 16;
template <class T, int Count>
__device__ inline bool is_whole(T const* p, elements<T, Count> const&) {
  return reinterpret_cast<std::uintptr_t>(p) % load_bytes<T, Count> == 0;
}

/// p[0 … Count) where is_whole(p, v).
template <class T, int Count>
__device__ inline void load_whole(T const* p, elements<T, Count>& v) {
  if constexpr (load_bytes<T, Count> == 8) {
    uint2 const u = __ldg(reinterpret_cast<uint2 const*>(p));
    v.word[0] = u.x, v.word[1] = u.y;
  } else {
#pragma unroll
    for (int i = 0; i < v.words / 4; ++i) {
      uint4 const u = __ldg(reinterpret_cast<uint4 const*>(p) + i);
      v.word[4 * i] = u.x, v.word[4 * i + 1] = u.y, v.word[4 * i + 2] = u.z, v.word[4 * i + 3] = u.w;
    }
  }
}

/// p[0 … Count), zeros from p[left] on, one by one: where rows end, and for codes that lie anywhere. left ≤ 0 reads nothing.
template <class T, int Count>
__device__ inline void load_single(T const* p, int left, elements<T, Count>& v) {
  constexpr int size = static_cast<int>(sizeof(T));
#pragma unroll
  for (int i = 0; i < v.words; ++i) v.word[i] = 0;
#pragma unroll
  for (int i = 0; i < Count; ++i)
    if (i < left) {
      std::uint32_t bits;
      if constexpr (size == 4)
        bits = to_bits(p[i]);
      else if constexpr (size == 2)
        bits = p[i].bits;
      else
        bits = p[i];
      v.word[i * size / 4] |= bits << (i * size % 4 * 8);
    }
}

/// Where not all loads can be whole.
template <class T, int Count>
__device__ inline void load_ragged(T const* p, int left, elements<T, Count>& v) {
  if (left >= Count && is_whole(p, v)) {
    load_whole(p, v);
  } else if constexpr (Count > 8) {  // codes that start at a multiple of 8 alone
    eight<T> low, high;
    load_ragged(p, left, low);
    load_ragged(p + 8, left - 8, high);
#pragma unroll
    for (int i = 0; i < low.words; ++i) v.word[i] = low.word[i], v.word[low.words + i] = high.word[i];
  } else {
    load_single(p, left, v);
  }
}

/// One term of eight elements: word i holds elements 2i and 2i + 1.
using bf16_eight = uint4;
/// What a thread gives mma.sync of a row for two steps: eight bf16, or sixteen codes as they lie in memory.
using operand_vector = uint4;

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

__device__ inline bf16_eight weight_term(eight<bf16> const& v) { return {v.word[0], v.word[1], v.word[2], v.word[3]}; }
__device__ inline bf16_eight weight_term(eight<std::uint8_t> const& v) {
  bf16_eight t;
  e4m3_pairs<false>(v.word[0], t.x, t.y);
  e4m3_pairs<false>(v.word[1], t.z, t.w);
  return t;
}

/// How mma.sync multiplies rows by weights: `columns` of either are a vector of 16 bytes. As bf16, products exact.
template <class Rows, weight_format F>
struct bf16_products {
  static constexpr int columns = 8, terms = row_operand<Rows>::terms;
  using row_elements = elements<typename row_operand<Rows>::element, columns>;
  using weight_elements = elements<weight_code_t<F>, columns>;

  /// Answers whether any term but the first is not zero.
  static __device__ bool split(row_elements const& v, operand_vector (&term)[terms]) { return row_operand<Rows>::split(v, term); }
  static __device__ operand_vector weight(weight_elements const& v) { return weight_term(v); }
  /// sum += the products of a step.
  static __device__ void step(float (&sum)[4], std::uint32_t const (&a)[4], std::uint32_t const (&b)[2]) { ptx::mma_bf16(sum, a, b); }
};

/// The same of E4M3 codes as they are: products exact, the sum of a step's 32 columns with as few bits as the hardware keeps.
struct e4m3_products {
  static constexpr int columns = 16, terms = 1;
  using row_elements = elements<std::uint8_t, columns>;
  using weight_elements = row_elements;

  static __device__ bool split(row_elements const& v, operand_vector (&term)[terms]) {
    term[0] = weight(v);
    return false;
  }
  static __device__ operand_vector weight(weight_elements const& v) { return {v.word[0], v.word[1], v.word[2], v.word[3]}; }
  static __device__ void step(float (&sum)[4], std::uint32_t const (&a)[4], std::uint32_t const (&b)[2]) { ptx::mma_e4m3(sum, a, b); }
};

/// Whether the tensor cores of the architecture that is being compiled for multiply E4M3. Those of 9.0, 10.x and 11.0 do by wgmma and
/// tcgen05 alone: of mma.sync on codes ptxas makes conversions to fp16 and two products of these, which is the work of bf16_products with a
/// coarser sum. On the host: no.
#if defined(__CUDA_ARCH__)
inline constexpr bool has_e4m3_mma = __CUDA_ARCH__ == 890 || __CUDA_ARCH__ >= 1200;
#else
inline constexpr bool has_e4m3_mma = false;
#endif

/// What a kernel multiplies these operands by. Device code alone may ask: a program holds kernels for several architectures, and what the
/// host decides, grids and shared memory, must be right for all of them.
template <class Rows, weight_format F>
using products = std::conditional_t<has_e4m3_mma && std::is_same_v<typename row_operand<Rows>::element, std::uint8_t> &&
                                        F == weight_format::e4m3_128x128,
                                    e4m3_products, bf16_products<Rows, F>>;

/// block += the sum of a step, 2 · Products::columns columns of 16 rows and 8 weight rows. mma.sync cuts its sums where fp32 rounds, or
/// earlier, so each step starts from zero, the smallest terms of the rows first, and its sum is added here. Terms behind the first that are
/// all zero may be left out: no bit changes. The order of additions is the same in every kernel: the steps of 128 columns make a block,
/// ascending.
__device__ inline void add_step(float (&block)[4], float const (&sum)[4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) block[i] = __fadd_rn(block[i], sum[i]);
}

/// block += the products of two steps: `low` holds a thread's columns of row g, `high` of row g + 8, `w` of weight row g (g = lane / 4),
/// those from lane % 4 · Products::columns on. More: terms behind the first are not all zero.
template <class Products, bool More>
__device__ inline void multiply_vectors(float (&block)[4], operand_vector const (&low)[Products::terms],
                                        operand_vector const (&high)[Products::terms], operand_vector const& w) {
#pragma unroll
  for (int step = 0; step < 2; ++step) {
    float sum[4] = {};
#pragma unroll
    for (int t = More ? Products::terms - 1 : 0; t >= 0; --t) {
      std::uint32_t const a[4] = {step == 0 ? low[t].x : low[t].z, step == 0 ? high[t].x : high[t].z, step == 0 ? low[t].y : low[t].w,
                                  step == 0 ? high[t].y : high[t].w};
      Products::step(sum, a, {step == 0 ? w.x : w.z, step == 0 ? w.y : w.w});
    }
    add_step(block, sum);
  }
}

}  // namespace moesaic::inline MOESAIC_ABI::cuda
