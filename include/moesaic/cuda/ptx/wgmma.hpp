// wgmma with both operands in shared memory and fp32 accumulators (sm_90a). An operand list cannot be computed: one specialisation a width
// and type, of the lists below.
#pragma once

#include <cstdint>

#include <moesaic/core/macros.hpp>
#include <moesaic/cuda/ptx/mbarrier.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::ptx {

/// Orders register accesses before the wgmmas that follow.
__device__ inline void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
/// Waits until at most `Pending` committed groups are in flight.
template <int Pending>
__device__ inline void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Pending) : "memory");
}
/// Tells the compiler that these registers change here.
template <int Count>
__device__ inline void wgmma_touch(float (&d)[Count]) {
#pragma unroll
  for (int i = 0; i < Count; ++i) asm volatile("" : "+f"(d[i])::"memory");
}

/// Describes a K-major operand tile in shared memory: rows of 128 bytes, 128-byte swizzle as TMA writes it, 1024-byte aligned; 8 rows are
/// one group, 1024 bytes apart. The high word is always the same; the next 32 columns are 2 units of the low word further on.
inline constexpr std::uint64_t descriptor_high = (std::uint64_t{1} << 62 | std::uint64_t{1024 >> 4} << 32);
MOESAIC_HD constexpr std::uint32_t descriptor_low(std::uint32_t shared_address) { return 1U << 16 | (shared_address & 0x3ffffU) >> 4; }
__device__ inline std::uint64_t wgmma_descriptor(void const* tile) { return descriptor_high | descriptor_low(shared_address(tile)); }

// The registers %0 … %n−1, and what stands for them.
#define MOESAIC_REGISTERS_4 "%0, %1, %2, %3"
#define MOESAIC_REGISTERS_8 "%0, %1, %2, %3, %4, %5, %6, %7"
#define MOESAIC_REGISTERS_16 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
#define MOESAIC_REGISTERS_32                                                                                       \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, " \
  "%24, %25, %26, %27, %28, %29, %30, %31"
#define MOESAIC_REGISTERS_64                                                                                       \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, " \
  "%24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, " \
  "%46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define MOESAIC_ACCUMULATORS_4 "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
#define MOESAIC_ACCUMULATORS_8 MOESAIC_ACCUMULATORS_4, "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7])
#define MOESAIC_ACCUMULATORS_16 \
  MOESAIC_ACCUMULATORS_8, "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15])
#define MOESAIC_ACCUMULATORS_32                                                                                                    \
  MOESAIC_ACCUMULATORS_16, "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), \
      "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31])
#define MOESAIC_ACCUMULATORS_64                                                                                                         \
  MOESAIC_ACCUMULATORS_32, "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35]), "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39]),      \
      "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), "+f"(d[43]), "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]), "+f"(d[48]), "+f"(d[49]), \
      "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]), "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), \
      "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63])
// name<width>: `shape` names the instruction behind wgmma.mma_async.sync.aligned, `tail` what follows the signs; a, b, p are the operands
// behind the accumulators.
#define MOESAIC_WGMMA(name, width, half, shape, tail, a_, b_, p_)                                                                \
  template <>                                                                                                                    \
  struct name<width> {                                                                                                           \
    __device__ static void issue(float (&d)[half], std::uint64_t a, std::uint64_t b, int accumulate) {                           \
      asm volatile("{ .reg .pred p; setp.ne.b32 p, " p_ ", 0; wgmma.mma_async.sync.aligned." shape " {" MOESAIC_REGISTERS_##half \
                   "}, " a_ ", " b_ ", p, 1, 1" tail "; }"                                                                       \
                   : MOESAIC_ACCUMULATORS_##half                                                                                 \
                   : "l"(a), "l"(b), "r"(accumulate));                                                                           \
    }                                                                                                                            \
  }

/// d [64, Width] (+)= a [64, 32] · b [Width, 32]ᵀ of E4M3 by one warpgroup; asynchronous. Thread t holds rows 16·(t/32) + (t%32)/4 +
/// 8·(i/2%2) and columns 8·(i/4) + 2·(t%4) + i%2 as d[i]. `accumulate` 0 starts from zero.
template <int Width>
struct wgmma_e4m3;
MOESAIC_WGMMA(wgmma_e4m3, 8, 4, "m64n8k32.f32.e4m3.e4m3", "", "%4", "%5", "%6");
MOESAIC_WGMMA(wgmma_e4m3, 16, 8, "m64n16k32.f32.e4m3.e4m3", "", "%8", "%9", "%10");
MOESAIC_WGMMA(wgmma_e4m3, 32, 16, "m64n32k32.f32.e4m3.e4m3", "", "%16", "%17", "%18");
MOESAIC_WGMMA(wgmma_e4m3, 64, 32, "m64n64k32.f32.e4m3.e4m3", "", "%32", "%33", "%34");
MOESAIC_WGMMA(wgmma_e4m3, 128, 64, "m64n128k32.f32.e4m3.e4m3", "", "%64", "%65", "%66");

/// The same of bf16, 16 columns at a time, both operands K-major; the next 16 columns are 2 units of the descriptor's low word further on.
template <int Width>
struct wgmma_bf16;
MOESAIC_WGMMA(wgmma_bf16, 32, 16, "m64n32k16.f32.bf16.bf16", ", 0, 0", "%16", "%17", "%18");
MOESAIC_WGMMA(wgmma_bf16, 64, 32, "m64n64k16.f32.bf16.bf16", ", 0, 0", "%32", "%33", "%34");
MOESAIC_WGMMA(wgmma_bf16, 128, 64, "m64n128k16.f32.bf16.bf16", ", 0, 0", "%64", "%65", "%66");

#undef MOESAIC_WGMMA
#undef MOESAIC_REGISTERS_4
#undef MOESAIC_ACCUMULATORS_4
#undef MOESAIC_REGISTERS_8
#undef MOESAIC_ACCUMULATORS_8
#undef MOESAIC_REGISTERS_16
#undef MOESAIC_ACCUMULATORS_16
#undef MOESAIC_REGISTERS_32
#undef MOESAIC_ACCUMULATORS_32
#undef MOESAIC_REGISTERS_64
#undef MOESAIC_ACCUMULATORS_64

}  // namespace moesaic::inline MOESAIC_ABI::cuda::ptx
