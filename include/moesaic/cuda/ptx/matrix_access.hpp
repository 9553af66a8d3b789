// Fragments from and to shared memory (sm_90 and later).
#pragma once

#include <cstdint>

#include <moesaic/core/macros.hpp>
#include <moesaic/cuda/ptx/mbarrier.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::ptx {

/// Four 8×8 matrices of 16-bit elements, or of pairs of bytes: lane l's `row` is where row l % 8 of matrix l / 8 lies, 16 bytes; it gets the
/// pair l % 4 of row l / 4 of each.
__device__ inline void ldmatrix_x4(std::uint32_t (&to)[4], std::uint32_t row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(row)
               : "memory");
}

/// Four 8×8 matrices of 16-bit elements; lane l's `row` is where row l % 8 of matrix l / 8 goes, 16 bytes.
__device__ inline void stmatrix_x4(void* row, std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t d) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(shared_address(row)), "r"(a), "r"(b), "r"(c), "r"(d)
               : "memory");
}
/// Two matrices, transposed: row l % 8 of the transpose of matrix l / 8 for lanes below 16.
__device__ inline void stmatrix_x2_transposed(void* row, std::uint32_t a, std::uint32_t b) {
  asm volatile("stmatrix.sync.aligned.m8n8.x2.trans.shared.b16 [%0], {%1, %2};" ::"r"(shared_address(row)), "r"(a), "r"(b) : "memory");
}

}  // namespace moesaic::inline MOESAIC_ABI::cuda::ptx
