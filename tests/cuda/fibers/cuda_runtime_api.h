// CUDA's names for fibers.hpp: as much as moesaic, its tests and its example take of the runtime and of the device functions. Found before
// CUDA's own, and force-included (-include), since nvcc knows __global__ and threadIdx without any header.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>

#include "fibers.hpp"

#define MOESAIC_ON_FIBERS 1
#define __CUDACC__ 1
#define __host__
#define __device__
#define __global__
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ thread_local  // one for all blocks, which fibers.cpp keeps from those that run together
#define __forceinline__ inline __attribute__((always_inline))

// --- the runtime -----------------------------------------------------------------------------------------------------------------------

enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidValue = 1, cudaErrorMemoryAllocation = 2 };
using cudaStream_t = struct fibers_stream*;  // all are one
constexpr unsigned cudaStreamNonBlocking = 1;
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDefault };
enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };
struct cudaFuncAttributes {
  int ptxVersion;
};
enum cudaLaunchAttributeID {
  cudaLaunchAttributeClusterDimension,
  cudaLaunchAttributeCooperative,
  cudaLaunchAttributeProgrammaticStreamSerialization
};
struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  struct {
    dim3 clusterDim;
    int cooperative, programmaticStreamSerializationAllowed;
  } val;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  std::size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute* attrs;
  unsigned numAttrs;
};

inline char const* cudaGetErrorString(cudaError_t e) { return e == cudaSuccess ? "no error" : "refused by tests/cuda/fibers"; }
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaGetDeviceCount(int* n) { return *n = 1, cudaSuccess; }
inline cudaError_t cudaGetDevice(int* d) { return *d = 0, cudaSuccess; }
inline cudaError_t cudaDeviceGetAttribute(int* v, cudaDeviceAttr, int) { return *v = 3, cudaSuccess; }  // few: blocks walk several tiles
inline cudaError_t cudaDeviceSynchronize() { return fibers::synchronize(), cudaSuccess; }
inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t* s, unsigned) { return *s = nullptr, cudaSuccess; }
inline cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
inline cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaDeviceSynchronize(); }
inline cudaError_t cudaMalloc(void** p, std::size_t bytes) {
  return (*p = fibers::allocate(bytes)) != nullptr ? cudaSuccess : cudaErrorMemoryAllocation;
}
inline cudaError_t cudaFree(void* p) { return fibers::release(p), cudaSuccess; }
inline cudaError_t cudaMemcpy(void* to, void const* from, std::size_t bytes, cudaMemcpyKind) {
  return fibers::copy(to, from, bytes), cudaSuccess;
}
inline cudaError_t cudaMemcpyAsync(void* to, void const* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t) {
  return cudaMemcpy(to, from, bytes, kind);
}
inline cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* a, void const*) { return a->ptxVersion = __CUDA_ARCH__ / 10, cudaSuccess; }
template <class... P>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* a, void (*kernel)(P...)) {
  return cudaFuncGetAttributes(a, reinterpret_cast<void const*>(kernel));
}
inline cudaError_t cudaFuncSetAttribute(void const* kernel, cudaFuncAttribute, int bytes) {
  constexpr int most = __CUDA_ARCH__ == 900 || __CUDA_ARCH__ == 1000 ? 227 : __CUDA_ARCH__ == 800 ? 163 : 99;
  if (bytes < 0 || bytes > most * 1024) return cudaErrorInvalidValue;
  return fibers::allow_shared(kernel, static_cast<std::size_t>(bytes)), cudaSuccess;
}

enum cudaDriverEntryPointQueryResult { cudaDriverEntryPointSuccess, cudaDriverEntryPointSymbolNotFound };
constexpr unsigned long long cudaEnableDefault = 0;
inline cudaError_t cudaGetDriverEntryPointByVersion(char const* name, void** symbol, unsigned, unsigned long long,
                                                    cudaDriverEntryPointQueryResult* found);  // cuda.h

template <class... P, class... A>
cudaError_t cudaLaunchKernelEx(cudaLaunchConfig_t const* c, void (*kernel)(P...), A&&... arguments) {
  fibers::kernel_launch k{c->gridDim, c->blockDim, c->dynamicSmemBytes};
  for (unsigned i = 0; i < c->numAttrs; ++i) {
    auto const& [id, value] = c->attrs[i];
    if (id == cudaLaunchAttributeClusterDimension) k.cluster = value.clusterDim.x;
    if (id == cudaLaunchAttributeCooperative) k.cooperative = value.cooperative != 0;
    if (id == cudaLaunchAttributeProgrammaticStreamSerialization) k.overlaps = value.programmaticStreamSerializationAllowed != 0;
  }
  bool const runs = fibers::launch(k, reinterpret_cast<void const*>(kernel),
                                   [kernel, all = std::tuple<P...>(std::forward<A>(arguments)...)] { std::apply(kernel, all); });
  return runs ? cudaSuccess : cudaErrorInvalidValue;
}

// --- vectors ---------------------------------------------------------------------------------------------------------------------------

struct alignas(8) uint2 {
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

// --- threads that meet -----------------------------------------------------------------------------------------------------------------

inline void __syncthreads() { fibers::barrier(false); }
inline int __syncthreads_or(int p) { return fibers::barrier(p != 0) != 0; }
inline int __syncthreads_count(int p) { return fibers::barrier(p != 0); }
inline void __syncwarp(unsigned mask = ~0U) { fibers::meet(mask, "__syncwarp"); }

template <class T>
T __shfl_sync(unsigned mask, T v, int from) {
  return fibers::tell(mask, "__shfl_sync", v).template of<T>(from & 31);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T v, int with) {
  return fibers::tell(mask, "__shfl_xor_sync", v).template of<T>(fibers::lane() ^ with);
}
template <class T>
T __shfl_down_sync(unsigned mask, T v, unsigned by) {
  int const from = fibers::lane() + static_cast<int>(by);
  auto const all = fibers::tell(mask, "__shfl_down_sync", v);
  return from < 32 ? all.template of<T>(from) : v;
}
template <class T>
T __shfl_up_sync(unsigned mask, T v, unsigned by) {
  int const from = fibers::lane() - static_cast<int>(by);
  auto const all = fibers::tell(mask, "__shfl_up_sync", v);
  return from >= 0 ? all.template of<T>(from) : v;
}

namespace fibers {
template <class F>
unsigned reduce(unsigned mask, char const* name, unsigned v, F) {
  return resolve(mask, name, v, [](unsigned of, unsigned(&value)[32]) {
    unsigned all = value[std::countr_zero(of)];
    for (int l = 0; l < 32; ++l)
      if ((of >> l & 1U) != 0) all = F()(all, value[l]);
    for (unsigned& each : value) each = all;
  });
}
}  // namespace fibers

inline unsigned __ballot_sync(unsigned mask, int p) {
  return fibers::reduce(mask, "a vote", p != 0 ? 1U << fibers::lane() : 0, [](unsigned a, unsigned b) { return a | b; });
}
inline int __any_sync(unsigned mask, int p) { return __ballot_sync(mask, p) != 0; }
inline int __all_sync(unsigned mask, int p) { return __ballot_sync(mask, p) == mask; }
inline unsigned __reduce_max_sync(unsigned mask, unsigned v) {
  return fibers::reduce(mask, "__reduce_max_sync", v, [](unsigned a, unsigned b) { return a > b ? a : b; });
}
inline unsigned __reduce_min_sync(unsigned mask, unsigned v) {
  return fibers::reduce(mask, "__reduce_min_sync", v, [](unsigned a, unsigned b) { return a < b ? a : b; });
}
inline unsigned __match_any_sync(unsigned mask, int v) {
  return fibers::resolve(mask, "__match_any_sync", static_cast<unsigned>(v), [](unsigned of, unsigned(&value)[32]) {
    unsigned same[32] = {};
    for (int l = 0; l < 32; ++l)
      for (int other = 0; other < 32; ++other) same[l] |= (value[l] == value[other] ? 1U << other : 0) & of;
    std::memcpy(value, same, sizeof(same));
  });
}

// --- what a thread does alone ----------------------------------------------------------------------------------------------------------

template <class T>
T __ldg(T const* p) {
  if (reinterpret_cast<std::uintptr_t>(p) % alignof(T) != 0) fibers::fail("__ldg of a misaligned address");
  return *p;
}
inline float __expf(float x) { return std::exp(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline unsigned max(unsigned a, unsigned b) { return a > b ? a : b; }
inline float __fadd_rn(float a, float b) { return a + b; }  // this folder's CMakeLists.txt has nothing contracted
inline float __fmaf_ieee_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float a) { return std::sqrt(a); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline unsigned __vmaxu2(unsigned a, unsigned b) {
  unsigned const high = (a >> 16) > (b >> 16) ? a >> 16 : b >> 16, low = (a & 0xFFFFU) > (b & 0xFFFFU) ? a & 0xFFFFU : b & 0xFFFFU;
  return high << 16 | low;
}
inline int __popc(unsigned x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
  std::uint64_t const bytes = std::uint64_t{b} << 32 | a;
  unsigned out = 0;
  for (int i = 0; i < 4; ++i) out |= static_cast<unsigned>(bytes >> (8 * (selector >> (4 * i) & 7U)) & 0xFFU) << (8 * i);
  return out;
}
