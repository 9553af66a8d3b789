// Enough of CUDA to run moesaic's own kernels on a CPU, compiled by g++ as C++: every thread of a block (or of a cluster's blocks) is a
// fiber; warp operations and barriers are meeting points. Proves logic and bits, not memory order and not speed.
// Ends with a message where threads of a warp meet at different operations, or where nobody can go on.
//
// A kernel that may start before the one ahead of it is over finds all memory that cudaMalloc gave locked until it waits for that: who
// touches it before ends with SIGSEGV. One whose threads end without having waited ends with a message.
//
// x86-64 and Linux only. Fibers run in turn, upwards or (with SIMT_DOWNWARDS in the environment) downwards, so that a missing barrier has
// two chances to show.
#pragma once

#include <sys/mman.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <type_traits>
#include <utility>
#include <vector>

#define __global__
#define __host__
#define __device__
#define __shared__ static
#define __align__(n) alignas(n)
#define __launch_bounds__(...)

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};

inline dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace simt {

[[noreturn]] inline void fail(char const* what) {
  std::fprintf(stderr, "simt: %s (block %u, thread %u)\n", what, blockIdx.x, threadIdx.x);
  std::abort();
}

struct meeting {
  int arrived = 0, operation = 0;
  unsigned generation = 0;
  std::uint64_t value[2][32] = {};
};

struct fiber {
  void* stack_pointer = nullptr;
  unsigned thread = 0, block = 0;
  bool done = false, waited = false;
  unsigned cluster_generation = 0;
};

/// Pages that are kept from everybody while `locked`.
class device_memory {
 public:
  void* allocate(std::size_t bytes) {
    std::size_t const all = (bytes + page - 1) / page * page;
    void* const p = ::mmap(nullptr, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return nullptr;
    pieces_.push_back({p, all});
    return p;
  }
  void release(void* p) {
    for (piece& s : pieces_)
      if (s.at == p) {
        ::munmap(p, s.bytes);
        s = pieces_.back();
        pieces_.pop_back();
        return;
      }
  }
  void lock(bool yes) const {
    for (piece const& s : pieces_) ::mprotect(s.at, s.bytes, yes ? PROT_NONE : PROT_READ | PROT_WRITE);
  }

 private:
  static constexpr std::size_t page = 4096;
  struct piece {
    void* at;
    std::size_t bytes;
  };
  std::vector<piece> pieces_;
};
inline device_memory memory;

/// Launches, and how many of them may start early.
inline struct { long all = 0, overlapping = 0; } launches;

struct state {
  std::vector<fiber> fibers;
  std::vector<meeting> warps, blocks;
  meeting cluster, waiting;
  std::vector<std::vector<unsigned char>> shared;
  std::vector<char*> stacks;
  fiber* current = nullptr;
  void* scheduler = nullptr;
  void (*body)(void*) = nullptr;
  void* argument = nullptr;
  unsigned first_block = 0;
  bool progress = false;
  bool overlaps = false, predecessor_is_over = true, cooperative = false;
};
inline state now;
inline int allowed_shared = 48 * 1024;  // dynamic, of a block of the next launch
inline int const order = std::getenv("SIMT_DOWNWARDS") != nullptr ? 1 : 0;
inline std::size_t const stack_bytes = 96 * 1024;

// Callee-saved registers onto the stack, the other stack, its registers back.
asm(R"(
.text
.weak simt_switch
.type simt_switch,@function
simt_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");
extern "C" void simt_switch(void** save, void* to);

inline void yield() { simt_switch(&now.current->stack_pointer, now.scheduler); }

inline void enter() {
  now.body(now.argument);
  if (now.overlaps && !now.current->waited) fail("a thread of a kernel that may start early has not waited");
  now.current->done = true;
  now.progress = true;
  yield();
  fail("a finished thread ran");
}

inline unsigned lane() { return threadIdx.x % 32; }
inline unsigned block_in_cluster() { return now.current->block - now.first_block; }

/// All 32 lanes hand over a value and see everybody's.
inline std::uint64_t const* meet(unsigned mask, int operation, std::uint64_t value) {
  if (mask != ~0U) fail("only full masks");
  meeting& m = now.warps[block_in_cluster() * ((blockDim.x + 31) / 32) + threadIdx.x / 32];
  unsigned const mine = m.generation;
  if (m.arrived == 0)
    m.operation = operation;
  else if (m.operation != operation)
    fail("lanes of a warp meet at different operations");
  m.value[mine % 2][lane()] = value;
  now.progress = true;
  if (++m.arrived == 32) {
    m.arrived = 0;
    ++m.generation;
  } else {
    while (m.generation == mine) yield();
  }
  return m.value[mine % 2];
}

/// A barrier in two parts; what arrive answers is for wait.
inline unsigned arrive(meeting& m, int members) {
  unsigned const mine = m.generation;
  now.progress = true;
  if (++m.arrived == members) {
    m.arrived = 0;
    ++m.generation;
  }
  return mine;
}
inline void wait(meeting const& m, unsigned mine) {
  while (m.generation == mine) yield();
  now.progress = true;
}
inline void barrier(meeting& m, int members) { wait(m, arrive(m, members)); }

inline void wait_for_dependency() {
  now.current->waited = true;
  if (now.predecessor_is_over) return;
  barrier(now.waiting, static_cast<int>(now.fibers.size()));
  if (!now.predecessor_is_over) memory.lock(false);
  now.predecessor_is_over = true;
}
inline void launch_dependents() {
  if (now.overlaps && !now.current->waited) fail("lets the next kernel start, which will not wait for those that this one waits for");
}

inline void run_cluster(unsigned blocks, std::size_t shared_bytes) {
  unsigned const threads = blockDim.x;
  std::size_t const count = std::size_t{blocks} * threads;
  if (threads % 32 != 0) fail("whole warps only");
  while (now.stacks.size() < count) {
    void* const p = ::mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) fail("no memory for a stack");
    now.stacks.push_back(static_cast<char*>(p));
  }
  now.fibers.assign(count, {});
  now.warps.assign(blocks * (threads / 32), {});
  now.blocks.assign(blocks, {});
  now.cluster = now.waiting = {};
  now.shared.resize(blocks);
  for (auto& s : now.shared) s.assign(shared_bytes + 128, 0xA5);  // nobody may count on zeros
  for (std::size_t i = 0; i < count; ++i) {
    fiber& f = now.fibers[i];
    f.thread = static_cast<unsigned>(i % threads);
    f.block = now.first_block + static_cast<unsigned>(i / threads);
    void** top = reinterpret_cast<void**>(now.stacks[i] + stack_bytes);
    *--top = nullptr;  // keeps the alignment that a call would have left
    *--top = reinterpret_cast<void*>(&enter);
    for (int r = 0; r < 6; ++r) *--top = nullptr;
    f.stack_pointer = top;
  }
  for (std::size_t left = count; left > 0;) {
    now.progress = false;
    left = 0;
    for (std::size_t i = 0; i < count; ++i) {
      fiber& f = now.fibers[order == 0 ? i : count - 1 - i];
      if (f.done) continue;
      now.current = &f;
      threadIdx.x = f.thread;
      blockIdx.x = f.block % gridDim.x;
      blockIdx.y = f.block / gridDim.x;
      simt_switch(&now.scheduler, f.stack_pointer);
      if (!f.done) ++left;
    }
    if (left > 0 && !now.progress) fail("nobody can go on");
  }
}

}  // namespace simt

// --- the runtime ---------------------------------------------------------------------------------------------------------------------
enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidValue = 1 };
using cudaStream_t = struct simt_stream*;
enum cudaLaunchAttributeID {
  cudaLaunchAttributeCooperative = 2,
  cudaLaunchAttributeClusterDimension = 4,
  cudaLaunchAttributeProgrammaticStreamSerialization = 6
};
struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  struct {
    struct {
      unsigned x, y, z;
    } clusterDim;
    int programmaticStreamSerializationAllowed, cooperative;
  } val;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  std::size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
  cudaLaunchAttribute* attrs = nullptr;
  unsigned numAttrs = 0;
};
struct cudaFuncAttributes {
  int ptxVersion = 90;
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost };

inline cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* a, void const*) { return *a = {}, cudaSuccess; }
inline cudaError_t cudaFuncSetAttribute(void const*, cudaFuncAttribute, int bytes) { return simt::allowed_shared = bytes, cudaSuccess; }
inline cudaError_t cudaGetDeviceCount(int* n) { return *n = 1, cudaSuccess; }
inline cudaError_t cudaGetDevice(int* d) { return *d = 0, cudaSuccess; }
enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount = 16 };
inline cudaError_t cudaDeviceGetAttribute(int* v, cudaDeviceAttr, int) { return *v = 1, cudaSuccess; }
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaDeviceSynchronize() { return cudaSuccess; }
inline char const* cudaGetErrorString(cudaError_t e) { return e == cudaSuccess ? "no error" : "invalid value"; }
inline cudaError_t cudaMalloc(void** p, std::size_t bytes) {
  return (*p = simt::memory.allocate(bytes)) != nullptr ? cudaSuccess : cudaErrorInvalidValue;
}
inline cudaError_t cudaFree(void* p) { return simt::memory.release(p), cudaSuccess; }
inline cudaError_t cudaMemcpy(void* to, void const* from, std::size_t bytes, cudaMemcpyKind) {
  return bytes > 0 ? std::memcpy(to, from, bytes) : nullptr, cudaSuccess;
}

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(cudaLaunchConfig_t const* c, void (*kernel)(Parameters...), Arguments... arguments) {
  int const allowed = std::exchange(simt::allowed_shared, 48 * 1024);
  if (c->gridDim.x == 0 || c->gridDim.y == 0 || c->gridDim.y > 65535 || c->blockDim.x == 0 || c->blockDim.x > 1024 ||
      c->dynamicSmemBytes > static_cast<std::size_t>(allowed))
    return cudaErrorInvalidValue;
  unsigned cluster = 1;  // blocks that run together
  simt::now.overlaps = simt::now.cooperative = false;
  for (unsigned i = 0; i < c->numAttrs; ++i) {
    if (c->attrs[i].id == cudaLaunchAttributeClusterDimension) cluster = c->attrs[i].val.clusterDim.x;
    if (c->attrs[i].id == cudaLaunchAttributeProgrammaticStreamSerialization)
      simt::now.overlaps = c->attrs[i].val.programmaticStreamSerializationAllowed != 0;
    if (c->attrs[i].id == cudaLaunchAttributeCooperative) simt::now.cooperative = c->attrs[i].val.cooperative != 0;
  }
  ++simt::launches.all;
  if (simt::now.overlaps) ++simt::launches.overlapping;
  if (cluster > 8 || c->gridDim.x % cluster != 0) return cudaErrorInvalidValue;
  if (simt::now.cooperative) cluster = c->gridDim.x * c->gridDim.y;
  gridDim = c->gridDim;
  blockDim = c->blockDim;
  auto body = [&] { kernel(arguments...); };
  simt::now.body = [](void* b) { (*static_cast<decltype(body)*>(b))(); };
  simt::now.argument = &body;
  if (simt::now.overlaps) simt::memory.lock(true);
  simt::now.predecessor_is_over = !simt::now.overlaps;
  for (unsigned b = 0; b < gridDim.x * gridDim.y; b += cluster) {
    simt::now.first_block = b;
    simt::run_cluster(cluster, c->dynamicSmemBytes);
  }
  return cudaSuccess;
}

// --- device functions ----------------------------------------------------------------------------------------------------------------
inline float __fmaf_ieee_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float a) { return __builtin_sqrtf(a); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline std::uint32_t __float_as_uint(float a) { return __builtin_bit_cast(std::uint32_t, a); }
inline float __uint_as_float(std::uint32_t a) { return __builtin_bit_cast(float, a); }
inline unsigned __vmaxu2(unsigned a, unsigned b) {
  unsigned const high = (a >> 16) > (b >> 16) ? a >> 16 : b >> 16, low = (a & 0xFFFFU) > (b & 0xFFFFU) ? a & 0xFFFFU : b & 0xFFFFU;
  return high << 16 | low;
}
inline int __popc(unsigned a) { return __builtin_popcount(a); }
inline int __ffs(int a) { return __builtin_ffs(a); }
inline int __clz(int a) { return a == 0 ? 32 : __builtin_clz(static_cast<unsigned>(a)); }

inline void __syncthreads() { simt::barrier(simt::now.blocks[simt::block_in_cluster()], static_cast<int>(blockDim.x)); }
inline void __syncwarp(unsigned mask = ~0U) { simt::meet(mask, 1, 0); }

namespace simt {
template <class T>
T shuffled(unsigned mask, int operation, T v, unsigned from) {
  static_assert(sizeof(T) == 4);
  return __builtin_bit_cast(T, static_cast<std::uint32_t>(meet(mask, operation, __builtin_bit_cast(std::uint32_t, v))[from % 32]));
}
}  // namespace simt

template <class T>
T __shfl_sync(unsigned mask, T v, int from) {
  return simt::shuffled(mask, 2, v, static_cast<unsigned>(from));
}
template <class T>
T __shfl_xor_sync(unsigned mask, T v, int with) {
  return simt::shuffled(mask, 3, v, simt::lane() ^ static_cast<unsigned>(with));
}
template <class T>
T __shfl_up_sync(unsigned mask, T v, unsigned d) {
  return simt::shuffled(mask, 4, v, simt::lane() >= d ? simt::lane() - d : simt::lane());
}
template <class T>
T __shfl_down_sync(unsigned mask, T v, unsigned d) {
  return simt::shuffled(mask, 5, v, simt::lane() + d < 32 ? simt::lane() + d : simt::lane());
}
inline unsigned __ballot_sync(unsigned mask, bool yes) {
  std::uint64_t const* const all = simt::meet(mask, 6, yes);
  unsigned votes = 0;
  for (unsigned l = 0; l < 32; ++l) votes |= static_cast<unsigned>(all[l] != 0) << l;
  return votes;
}
inline bool __any_sync(unsigned mask, bool yes) { return __ballot_sync(mask, yes) != 0; }
inline bool __all_sync(unsigned mask, bool yes) { return __ballot_sync(mask, yes) == ~0U; }
inline unsigned __match_any_sync(unsigned mask, int v) {
  std::uint64_t const* const all = simt::meet(mask, 7, static_cast<std::uint32_t>(v));
  unsigned same = 0;
  for (unsigned l = 0; l < 32; ++l) same |= static_cast<unsigned>(all[l] == static_cast<std::uint32_t>(v)) << l;
  return same;
}
inline unsigned __reduce_max_sync(unsigned mask, unsigned v) {
  std::uint64_t const* const all = simt::meet(mask, 8, v);
  for (unsigned l = 0; l < 32; ++l) v = all[l] > v ? static_cast<unsigned>(all[l]) : v;
  return v;
}
inline unsigned __reduce_min_sync(unsigned mask, unsigned v) {
  std::uint64_t const* const all = simt::meet(mask, 9, v);
  for (unsigned l = 0; l < 32; ++l) v = all[l] < v ? static_cast<unsigned>(all[l]) : v;
  return v;
}
