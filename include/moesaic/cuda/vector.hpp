// What the memory-bound stages share: a few elements of a row loaded and stored in one access, and how a row is spread over blocks.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <type_traits>

#include <moesaic/core/views.hpp>
#include <moesaic/cuda/launch.hpp>
#include <moesaic/cuda/ptx/convert.hpp>
#include <moesaic/num/convert.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

namespace detail {

/// Count elements of T as one word, or as words of 16 bytes. Count · sizeof(T) is 4, 8, or a multiple of 16.
template <int Bytes>
struct alignas(Bytes) word {
  std::uint32_t part[Bytes / 4];
};
template <class T, int Count>
struct pack {
  static constexpr int bytes = Count * static_cast<int>(sizeof(T));
  static constexpr int access = bytes < 16 ? bytes : 16;
  static constexpr int words = bytes / access;
  static_assert(access % 4 == 0 && bytes % access == 0);
  word<access> of[words];
};

/// Elements of T in 16 bytes.
template <class T>
inline constexpr int elements_of_16_bytes = 16 / static_cast<int>(sizeof(T));

template <int Count, class T>
__device__ inline pack<T, Count> load(T const* from) {
  using word_type = word<pack<T, Count>::access>;
  pack<T, Count> p;
#pragma unroll
  for (int i = 0; i < p.words; ++i) p.of[i] = reinterpret_cast<word_type const*>(from)[i];
  return p;
}

template <class T, int Count>
__device__ inline void store(T* to, pack<T, Count> const& p) {
  using word_type = word<pack<T, Count>::access>;
#pragma unroll
  for (int i = 0; i < p.words; ++i) reinterpret_cast<word_type*>(to)[i] = p.of[i];
}

/// Element i as a float: exact, and a NaN where it is one, though not the canonical NaN of to_float.
template <class T, int Count>
__device__ inline float element(pack<T, Count> const& p, int i) {
  constexpr int each = 4 / static_cast<int>(sizeof(T));
  std::uint32_t const part = p.of[i / each / (p.access / 4)].part[i / each % (p.access / 4)];
  if constexpr (std::is_same_v<T, float>) return from_bits(part);
  if constexpr (std::is_same_v<T, bf16>) return from_bits(i % 2 == 0 ? part << 16 : part & 0xFFFF'0000u);
  if constexpr (std::is_same_v<T, fp16>) return ptx::widen_fp16(static_cast<std::uint16_t>(i % 2 == 0 ? part : part >> 16));
}

/// from_float<T> of Count values: the hardware's conversion, and what this library writes for a NaN.
template <class T, int Count>
__device__ inline pack<T, Count> narrow(float const (&v)[Count]) {
  pack<T, Count> p;
  constexpr int parts = p.access / 4;
  if constexpr (std::is_same_v<T, float>) {
#pragma unroll
    for (int i = 0; i < Count; ++i) p.of[i / parts].part[i % parts] = to_bits(v[i]);
  } else {
    bool lost = false;
#pragma unroll
    for (int i = 0; i < Count; ++i) lost = lost || !(v[i] == v[i]);
#pragma unroll
    for (int i = 0; i < Count / 2; ++i) p.of[i / parts].part[i % parts] = ptx::narrow_pair<T>(v[2 * i], v[2 * i + 1]);
    if (lost) {
#pragma unroll
      for (int i = 0; i < Count / 2; ++i)
        p.of[i / parts].part[i % parts] = from_float<T>(v[2 * i]).bits | std::uint32_t{from_float<T>(v[2 * i + 1]).bits} << 16;
    }
  }
  return p;
}

}  // namespace detail

/// Whether every row starts at a multiple of 16 bytes.
template <class T>
bool rows_are_16_byte_aligned(matrix_view<T> const& m) {
  return reinterpret_cast<std::uintptr_t>(m.data) % 16 == 0 && (m.rows <= 1 || m.stride * static_cast<std::int64_t>(sizeof(T)) % 16 == 0);
}
inline bool is_16_byte_aligned(void const* p) { return reinterpret_cast<std::uintptr_t>(p) % 16 == 0; }

/// How the pieces of a row are spread over blocks of threads: block y of a row has the pieces y · threads · each + i · threads + thread,
/// i < each, as far as the row has them. As few blocks of at most 256 threads as hold them all, and as equal as whole warps allow.
struct row_blocks {
  unsigned threads, blocks;

  static constexpr row_blocks of(std::int64_t pieces, int each) {
    std::int64_t const lanes = ceil_div(pieces, each);
    std::int64_t const blocks = lanes > 256 ? ceil_div(lanes, 256) : 1;
    return {static_cast<unsigned>(align_up(ceil_div(lanes > 0 ? lanes : 1, blocks), 32)), static_cast<unsigned>(blocks)};
  }
};

#pragma GCC visibility push(hidden)  // see cuda/launch.hpp

/// A launch of `rows` × shape.blocks blocks, rows first, of a kernel that begins with ptx::follow_dependency.
template <class... Parameters, class... Arguments>
status start_rows(cudaStream_t stream, std::int64_t rows, row_blocks const& shape, void (*kernel)(Parameters...),
                  Arguments const&... arguments) {
  return start(stream, {.blocks = static_cast<unsigned>(rows), .threads = shape.threads, .columns = shape.blocks, .overlaps = true}, kernel,
               arguments...);
}

#pragma GCC visibility pop

}  // namespace moesaic::inline MOESAIC_ABI::cuda
