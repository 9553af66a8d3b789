// The fibers of gpu.hpp: a block's threads, each on a stack of its own, switched by hand.
#include "gpu.hpp"

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#if !defined(__x86_64__)
#error "the switch of fibers is written for x86-64"
#endif

dim3 threadIdx, blockIdx, blockDim, gridDim;

// The dynamic shared memory of every kernel: a block-scope `extern __shared__` in moesaic::cuda names this.
#include <moesaic/core/macros.hpp>
namespace moesaic::inline MOESAIC_ABI::cuda {
alignas(1024) thread_local unsigned char shared_memory[228 * 1024];
}

// switch_stack(&mine, theirs): callee-saved registers onto this stack, its pointer to *mine, and on with theirs.
extern "C" void switch_stack(void** mine, void* theirs);
asm(R"(
.text
.globl switch_stack
switch_stack:
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

namespace simulated {
namespace {

constexpr std::size_t stack_bytes = 64 * 1024;
enum class state { ready, in_warp, in_block, done };

struct fiber {
  void* stack_pointer;
  state now;
  int exchanges;  // of its warp that it has taken part in
};
struct warp {
  unsigned arrived[2];  // lanes, for exchanges of even and odd number
  alignas(64) unsigned char slots[2][32 * 64];
};

std::vector<std::unique_ptr<unsigned char[]>> stacks;
std::vector<fiber> fibers;
std::vector<warp> warps;
void* scheduler;
std::size_t current;
void (*body)(void*);
void* context;
int votes[2], barriers;
std::uint64_t order = 671;

void to_scheduler() { switch_stack(&fibers[current].stack_pointer, scheduler); }

void first_step() {
  body(context);
  fibers[current].now = state::done;
  to_scheduler();
  std::abort();
}

void resume(std::size_t i) {
  current = i;
  threadIdx = dim3(static_cast<unsigned>(i));
  switch_stack(&scheduler, fibers[i].stack_pointer);
}

void run_block(std::size_t threads) {
  while (stacks.size() < threads) stacks.push_back(std::make_unique<unsigned char[]>(stack_bytes));
  fibers.assign(threads, {});
  warps.assign((threads + 31) / 32, {});
  votes[0] = votes[1] = barriers = 0;
  for (std::size_t i = 0; i < threads; ++i) {
    auto top = reinterpret_cast<std::uintptr_t>(stacks[i].get() + stack_bytes) & ~std::uintptr_t{63};
    auto* const words = reinterpret_cast<void**>(top) - 8;  // six registers, the address to go to, and what would be its return address
    for (int w = 0; w < 8; ++w) words[w] = nullptr;
    words[6] = reinterpret_cast<void*>(&first_step);
    fibers[i] = {words, state::ready, 0};
  }
  for (;;) {
    bool ran = false, all_in_block = true, all_done = true;
    order = order * 6364136223846793005u + 1442695040888963407u;
    std::size_t const turn = order >> 33, count = warps.size();
    for (std::size_t w = 0; w < count; ++w) {
      std::size_t const first = (w + turn) % count * 32, last = first + 32 < threads ? first + 32 : threads;
      for (bool again = true; again;) {
        again = false;
        for (std::size_t l = first; l < last; ++l) {
          std::size_t const i = turn & 32 ? last - 1 - (l - first) : l;
          if (fibers[i].now == state::ready) resume(i), again = true, ran = true;
        }
      }
    }
    for (fiber const& f : fibers) {
      all_in_block = all_in_block && (f.now == state::in_block || f.now == state::done);
      all_done = all_done && f.now == state::done;
    }
    if (all_done) return;
    if (all_in_block) {
      ++barriers;
      votes[barriers % 2] = 0;
      for (fiber& f : fibers)
        if (f.now == state::in_block) f.now = state::ready;
    } else if (!ran) {
      fail("threads wait for lanes that wait elsewhere");
    }
  }
}

}  // namespace

void fail(char const* what) {
  std::fprintf(stderr, "simulated GPU: %s, block %u, thread %u\n", what, blockIdx.x, threadIdx.x);
  std::abort();
}

int lane() { return static_cast<int>(current % 32); }

int barrier(bool vote) {
  int const mine = barriers;
  if (vote) ++votes[mine % 2];
  fibers[current].now = state::in_block;
  to_scheduler();
  return votes[mine % 2];
}

unsigned char const* exchange(unsigned mask, void const* data, std::size_t bytes) {
  fiber& f = fibers[current];
  warp& w = warps[current / 32];
  int const parity = f.exchanges++ % 2;
  unsigned const me = 1U << (current % 32);
  if ((mask & me) == 0) fail("a lane outside the mask");
  if (bytes > 64) fail("more than 64 bytes");
  std::memcpy(w.slots[parity] + 64 * (current % 32), data, bytes);
  w.arrived[parity] |= me;
  if ((w.arrived[parity] & mask) == mask) {
    w.arrived[parity] &= ~mask;
    for (std::size_t l = 0; l < 32; ++l)
      if ((mask >> l & 1U) != 0 && current / 32 * 32 + l != current) fibers[current / 32 * 32 + l].now = state::ready;
  } else {
    f.now = state::in_warp;
    to_scheduler();
  }
  return w.slots[parity];
}

void run(dim3 grid, dim3 block, std::size_t shared_bytes, void (*what)(void*), void* with) {
  if (block.x == 0 || block.x > 1024 || grid.x == 0) fail("a launch without threads, or with too many");
  if (shared_bytes > sizeof(moesaic::cuda::shared_memory)) fail("too much shared memory");
  body = what, context = with;
  blockDim = block, gridDim = grid;
  for (unsigned b = 0; b < grid.x * grid.y; ++b) {
    blockIdx = dim3(b % grid.x, b / grid.x, 0);
    std::memset(moesaic::cuda::shared_memory, 0xFF, sizeof(moesaic::cuda::shared_memory));
    run_block(block.x);
  }
}

}  // namespace simulated
