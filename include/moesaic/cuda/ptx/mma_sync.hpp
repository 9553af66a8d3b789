// mma.sync on bf16, and the exact conversion of E4M3 codes to it: compute capability 8.0 and later. On codes themselves: 8.9 and later.
#pragma once

#include <cstdint>

#include <moesaic/core/macros.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::ptx {

/// d += a · b by a warp: a 16 × 16, b 16 × 8, d 16 × 8, fp32 sums. With g = lane / 4, q = lane % 4, and pairs of k with the lower one in
/// the lower half: a = {row g, k 2q; row g+8, k 2q; row g, k 2q+8; row g+8, k 2q+8}, b = {column g, k 2q; column g, k 2q+8}, d = {row g,
/// columns 2q, 2q+1; row g+8, the same}.
__device__ inline void mma_bf16(float (&d)[4], std::uint32_t const (&a)[4], std::uint32_t const (&b)[2]) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// d += a · b by a warp: a 16 × 32, b 32 × 8 of E4M3, d 16 × 8, fp32 sums of which the hardware keeps fewer bits. Lanes have of d, and of
/// the rows and columns of a and b, what they have in mma_bf16, and four k in a word, the lowest in the lowest byte: a = {row g, k 4q; row
/// g+8, k 4q; row g, k 4q+16; row g+8, k 4q+16}, b = {column g, k 4q; column g, k 4q+16}.
__device__ inline void mma_e4m3(float (&d)[4], std::uint32_t const (&a)[4], std::uint32_t const (&b)[2]) {
  asm("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// Four 8 × 8 matrices of 16-bit elements out of shared memory; lane l's `row` is where row l % 8 of matrix l / 8 lies, 16 bytes. v[i]: of
/// matrix i the elements 2 (l % 4) and the next one of row l / 4, the lower one in the lower half.
__device__ inline void ldmatrix_x4(std::uint32_t (&v)[4], void const* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(v[0]), "=r"(v[1]), "=r"(v[2]), "=r"(v[3])
               : "r"(static_cast<std::uint32_t>(__cvta_generic_to_shared(row)))
               : "memory");
}

/// threadIdx.x, read each time that it is asked for: what a kernel reckons from it is then not kept in registers from one place to another.
__device__ inline int thread_again() {
  std::uint32_t thread;
  asm volatile("mov.u32 %0, %%tid.x;" : "=r"(thread));
  return static_cast<int>(thread & 1023U);  // so that the compiler knows its sign
}

/// Two bf16 times 2^120, exactly for what e4m3_fields makes, denormals and the sign of zero included.
__device__ inline std::uint32_t times_2_to_120(std::uint32_t pair) {
  std::uint32_t out;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(out) : "r"(pair), "r"(0x7B80'7B80U), "r"(0x8000'8000U));
  return out;
}

}  // namespace moesaic::inline MOESAIC_ABI::cuda::ptx
