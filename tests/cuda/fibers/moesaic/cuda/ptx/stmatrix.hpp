// The stand-in for the header of the same name.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <cstring>

#include <moesaic/core/macros.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::ptx {

namespace detail {
inline unsigned char* row_of_matrix(::fibers::lane_values const& rows, int matrix, int r) {
  auto* const row = rows.of<unsigned char*>(8 * matrix + r);
  if (reinterpret_cast<std::uintptr_t>(row) % 16 != 0) ::fibers::fail("a row of stmatrix at no multiple of 16 bytes");
  return row;
}
}  // namespace detail

inline void stmatrix_x4(void* row, std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t d) {
  ::fibers::lane_values const rows = ::fibers::tell(~0U, "stmatrix.x4", row);
  std::uint32_t const word[4] = {a, b, c, d};
  int const lane = ::fibers::lane();
  for (int m = 0; m < 4; ++m) std::memcpy(detail::row_of_matrix(rows, m, lane / 4) + lane % 4 * 4, word + m, 4);
  ::fibers::meet(~0U, "stmatrix.x4, stored");
}
inline void stmatrix_x2_transposed(void* row, std::uint32_t a, std::uint32_t b) {
  ::fibers::lane_values const rows = ::fibers::tell(~0U, "stmatrix.x2.trans", row);
  std::uint32_t const word[2] = {a, b};
  int const lane = ::fibers::lane();
  for (int m = 0; m < 2; ++m)
    for (int i = 0; i < 2; ++i) {
      auto const half = static_cast<std::uint16_t>(word[m] >> 16 * i);
      std::memcpy(detail::row_of_matrix(rows, m, lane % 4 * 2 + i) + lane / 4 * 2, &half, 2);
    }
  ::fibers::meet(~0U, "stmatrix.x2.trans, stored");
}

}  // namespace moesaic::inline MOESAIC_ABI::cuda::ptx
