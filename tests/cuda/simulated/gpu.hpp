// A GPU in fibers: enough of CUDA for g++ to compile moesaic's portable kernels and run them on this processor, every thread of a block a
// fiber, blocks one after another. A kernel runs no sooner than it must, when the next one is launched or somebody waits for it; but one
// that may overlap begins ahead of the kernel ahead of it, and goes as far as it does not wait for that. What it proves is that they
// compute what they should; it finds a thread that misses a barrier, a read of shared memory that nobody wrote (all bytes are 0xFF at
// first: NaN), and some races, because the order of threads is another in every launch. It knows nothing of caches, banks, alignment of
// vectors, or time. Force-included (-include), so that it comes before everything.
#pragma once

#include <cfloat>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

#define __CUDACC__ 1
#if !defined(__CUDA_ARCH__)  // what kernels may do by architecture is what they do: CMakeLists.txt has several
#define __CUDA_ARCH__ 1200
#endif
#define __host__
#define __device__
#define __global__
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ thread_local  // all fibers are on one thread: theirs in common, one for the whole launch
#define __forceinline__ inline __attribute__((always_inline))

struct uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};
extern dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace simulated {

// Ends the program with a line that says where.
[[noreturn]] void fail(char const* what);
// Puts a kernel at the end of the one stream: body() in each thread of each block.
void enqueue(dim3 grid, dim3 block, std::size_t shared_bytes, bool overlaps, std::function<void()> body);
// Waits for all kernels.
void synchronize();
// griddepcontrol.
void wait_for_dependency();
void launch_dependents();
// What has been launched since the last time.
struct launch_counts {
  long all = 0, overlapping = 0;
};
launch_counts take_counts();
// Waits for all threads of the block; answers whether `vote` is true in any, and in how many.
int barrier(bool vote);
// Gives `bytes` of each lane in `mask` to all of them: answers 32 slots of 64 bytes.
unsigned char const* exchange(unsigned mask, void const* mine, std::size_t bytes);
int lane();

template <class T>
T of_lane(unsigned char const* slots, int l) {
  T v;
  std::memcpy(&v, slots + 64 * l, sizeof(T));
  return v;
}

}  // namespace simulated

inline void __syncthreads() { simulated::barrier(false); }
inline int __syncthreads_or(int p) { return simulated::barrier(p != 0) != 0; }
inline int __syncthreads_count(int p) { return simulated::barrier(p != 0); }
inline void __syncwarp(unsigned mask = ~0U) { simulated::exchange(mask, &mask, sizeof(mask)); }

template <class T>
T __shfl_sync(unsigned mask, T v, int from) {
  return simulated::of_lane<T>(simulated::exchange(mask, &v, sizeof(T)), from & 31);
}
template <class T>
T __shfl_down_sync(unsigned mask, T v, unsigned by) {
  int const from = simulated::lane() + static_cast<int>(by);
  auto const* const slots = simulated::exchange(mask, &v, sizeof(T));
  return from < 32 ? simulated::of_lane<T>(slots, from) : v;
}
template <class T>
T __shfl_up_sync(unsigned mask, T v, unsigned by) {
  int const from = simulated::lane() - static_cast<int>(by);
  auto const* const slots = simulated::exchange(mask, &v, sizeof(T));
  return from >= 0 ? simulated::of_lane<T>(slots, from) : v;
}
template <class T>
T __shfl_xor_sync(unsigned mask, T v, int with) {
  return simulated::of_lane<T>(simulated::exchange(mask, &v, sizeof(T)), simulated::lane() ^ with);
}
inline unsigned __ballot_sync(unsigned mask, int p) {
  unsigned const vote = p != 0 ? 1U : 0U;
  auto const* const slots = simulated::exchange(mask, &vote, sizeof(vote));
  unsigned all = 0;
  for (int l = 0; l < 32; ++l)
    if ((mask >> l & 1U) != 0) all |= simulated::of_lane<unsigned>(slots, l) << l;
  return all;
}
inline int __any_sync(unsigned mask, int p) { return __ballot_sync(mask, p) != 0; }
inline int __all_sync(unsigned mask, int p) { return __ballot_sync(mask, p) == mask; }
template <class F>
unsigned simulated_reduce(unsigned mask, unsigned v, F const& f) {
  auto const* const slots = simulated::exchange(mask, &v, sizeof(v));
  unsigned all = v;
  for (int l = 0; l < 32; ++l)
    if ((mask >> l & 1U) != 0) all = f(all, simulated::of_lane<unsigned>(slots, l));
  return all;
}
inline unsigned __reduce_max_sync(unsigned mask, unsigned v) {
  return simulated_reduce(mask, v, [](unsigned a, unsigned b) { return a > b ? a : b; });
}
inline unsigned __reduce_min_sync(unsigned mask, unsigned v) {
  return simulated_reduce(mask, v, [](unsigned a, unsigned b) { return a < b ? a : b; });
}

inline unsigned __match_any_sync(unsigned mask, int v) {
  auto const* const slots = simulated::exchange(mask, &v, sizeof(v));
  unsigned same = 0;
  for (int l = 0; l < 32; ++l)
    if ((mask >> l & 1U) != 0 && simulated::of_lane<int>(slots, l) == v) same |= 1U << l;
  return same;
}

template <class T>
T __ldg(T const* p) {
  if (reinterpret_cast<std::uintptr_t>(p) % alignof(T) != 0) simulated::fail("__ldg of a misaligned address");
  return *p;
}
inline float __fadd_rn(float a, float b) {
  float const volatile sum = a + b;  // not to be contracted
  return sum;
}
inline float __fmaf_ieee_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float a) { return std::sqrt(a); }
inline unsigned __float_as_uint(float x) { return __builtin_bit_cast(unsigned, x); }
inline float __uint_as_float(unsigned x) { return __builtin_bit_cast(float, x); }
inline unsigned __vmaxu2(unsigned a, unsigned b) {
  unsigned const high = (a >> 16) > (b >> 16) ? a >> 16 : b >> 16, low = (a & 0xFFFFU) > (b & 0xFFFFU) ? a & 0xFFFFU : b & 0xFFFFU;
  return high << 16 | low;
}
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
  std::uint64_t const bytes = std::uint64_t{b} << 32 | a;
  unsigned out = 0;
  for (int i = 0; i < 4; ++i) out |= static_cast<unsigned>(bytes >> (8 * (selector >> (4 * i) & 7U)) & 0xFFU) << (8 * i);
  return out;
}

using cudaStream_t = struct simulated_stream*;
enum cudaError_t { cudaSuccess = 0 };
enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };
struct cudaFuncAttributes {
  int ptxVersion = __CUDA_ARCH__ / 10;
};
enum cudaLaunchAttributeID { cudaLaunchAttributeClusterDimension, cudaLaunchAttributeProgrammaticStreamSerialization };
struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  struct {
    dim3 clusterDim;
    int programmaticStreamSerializationAllowed;
  } val;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  std::size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute* attrs;
  unsigned numAttrs;
};
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaGetDevice(int* d) { return *d = 0, cudaSuccess; }
inline cudaError_t cudaDeviceGetAttribute(int* v, cudaDeviceAttr, int) { return *v = 3, cudaSuccess; }  // few: blocks walk several tiles
inline cudaError_t cudaFuncSetAttribute(void const*, cudaFuncAttribute, int) { return cudaSuccess; }
template <class Kernel>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* a, Kernel*) {
  return *a = {}, cudaSuccess;
}
template <class... P, class... A>
cudaError_t cudaLaunchKernelEx(cudaLaunchConfig_t const* c, void (*kernel)(P...), A&&... arguments) {
  bool overlaps = false;
  for (unsigned i = 0; i < c->numAttrs; ++i) {
    if (c->attrs[i].id == cudaLaunchAttributeClusterDimension) simulated::fail("no clusters: tests/cuda_stages/simt has them");
    overlaps = overlaps || c->attrs[i].val.programmaticStreamSerializationAllowed != 0;
  }
  simulated::enqueue(c->gridDim, c->blockDim, c->dynamicSmemBytes, overlaps,
                     [kernel, all = std::tuple<P...>(std::forward<A>(arguments)...)] { std::apply(kernel, all); });
  return cudaSuccess;
}
