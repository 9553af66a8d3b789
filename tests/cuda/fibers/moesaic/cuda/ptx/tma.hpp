// The stand-in for the header of the same name: a box is copied some time after it was asked for, all of it at once.
#pragma once

#include <cuda.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include <moesaic/cuda/ptx/mbarrier.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::ptx {

inline std::uint64_t evict_first() { return 1; }
inline std::uint64_t evict_last() { return 2; }
inline void prefetch_tensor_map(CUtensorMap const*) {}

/// Where the 128-byte swizzle puts the byte of this address: sixteens change places inside 128 bytes, otherwise in each of eight rows.
constexpr std::uint32_t swizzled(std::uint32_t address) { return address ^ (address >> 7 & 7U) << 4; }

inline void tma_load(void* to, CUtensorMap const* map, std::int32_t column, std::int32_t row, std::uint64_t* bar, std::uint64_t) {
  CUtensorMap const m = *map;
  std::uint32_t const address = shared_address(to), width = m.box_cols * m.element_bytes;
  if (address % 128 != 0) ::fibers::fail("a tensor copy to an address that is no multiple of 128");
  if (m.swizzled && address % 1024 != 0) ::fibers::fail("a swizzled tensor copy to an address that is no multiple of 1024");
  if (std::int64_t{column} * m.element_bytes % 16 != 0) ::fibers::fail("a tensor copy of a box that starts at no multiple of 16 bytes");
  auto* const first = static_cast<unsigned char*>(to);
  ::fibers::later([=] {
    for (std::uint32_t r = 0; r < m.box_rows; ++r) {
      unsigned char line[1024] = {};  // zeros outside the matrix
      std::int64_t const from = std::int64_t{row} + r, there = static_cast<std::int64_t>(m.cols) - column;
      if (from >= 0 && from < static_cast<std::int64_t>(m.rows) && column >= 0 && there > 0)
        std::memcpy(line, m.data + static_cast<std::uint64_t>(from) * m.stride + static_cast<std::uint64_t>(column) * m.element_bytes,
                    std::min<std::size_t>(width, static_cast<std::size_t>(there) * m.element_bytes));
      for (std::uint32_t c = 0; c < width; c += 16) {
        std::uint32_t const at = address + r * width + c;
        std::memcpy(first + ((m.swizzled ? swizzled(at) : at) - address), line + c, 16);
      }
    }
    detail::change(bar, [&](detail::counting_barrier& b) { b.bytes -= static_cast<std::int32_t>(m.box_rows * width); });
  });
}

}  // namespace moesaic::inline MOESAIC_ABI::cuda::ptx
