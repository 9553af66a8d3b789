// The fibers of gpu.hpp: a block's threads, each on a stack of its own, switched by hand; and a stream, in which a kernel that may overlap
// with the one ahead of it does so as far as it can.
#include "gpu.hpp"

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <utility>
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
enum class state { ready, in_warp, in_block, waits, done };

struct fiber {
  void* stack_pointer;
  state now;
  int exchanges;  // of its warp that it has taken part in
  bool waited;
};
struct warp {
  unsigned arrived[2];  // lanes, for exchanges of even and odd number
  alignas(64) unsigned char slots[2][32 * 64];
};

// A kernel in the stream. Its first block may have begun.
struct launch {
  dim3 grid, block;
  std::size_t shared_bytes;
  std::function<void()> body;
  bool overlaps;
  bool has_begun = false, predecessor_is_over = false;
  std::vector<std::unique_ptr<unsigned char[]>> stacks{};
  std::vector<fiber> fibers{};
  std::vector<warp> warps{};
  int votes[2] = {}, barriers = 0;
};

std::unique_ptr<launch> last, spare;  // the last of the stream, which has not ended; one whose stacks can be had again
launch* now;                          // which runs
launch_counts counts;
void* scheduler;
std::size_t current;
std::uint64_t order = 671;

void to_scheduler() { switch_stack(&now->fibers[current].stack_pointer, scheduler); }

void first_step() {
  now->body();
  if (now->overlaps && !now->fibers[current].waited) fail("a thread of a kernel that may start early has not waited");
  now->fibers[current].now = state::done;
  to_scheduler();
  std::abort();
}

void resume(std::size_t i) {
  current = i;
  threadIdx = dim3(static_cast<unsigned>(i));
  switch_stack(&scheduler, now->fibers[i].stack_pointer);
}

void clear_shared_memory() { std::memset(moesaic::cuda::shared_memory, 0xFF, sizeof(moesaic::cuda::shared_memory)); }

void begin_block() {
  launch& l = *now;
  std::size_t const threads = l.block.x;
  while (l.stacks.size() < threads) l.stacks.push_back(std::make_unique<unsigned char[]>(stack_bytes));
  l.fibers.assign(threads, {});
  l.warps.assign((threads + 31) / 32, {});
  l.votes[0] = l.votes[1] = l.barriers = 0;
  for (std::size_t i = 0; i < threads; ++i) {
    auto top = reinterpret_cast<std::uintptr_t>(l.stacks[i].get() + stack_bytes) & ~std::uintptr_t{63};
    auto* const words = reinterpret_cast<void**>(top) - 8;  // six registers, the address to go to, and what would be its return address
    for (int w = 0; w < 8; ++w) words[w] = nullptr;
    words[6] = reinterpret_cast<void*>(&first_step);
    l.fibers[i] = {words, state::ready, 0, false};
  }
}

// Runs the block until all its threads are done, or wait for the kernel ahead.
void run_block() {
  launch& l = *now;
  std::size_t const threads = l.fibers.size();
  for (;;) {
    bool ran = false, all_in_block = true, all_done = true, all_wait = true;
    order = order * 6364136223846793005u + 1442695040888963407u;
    std::size_t const turn = order >> 33, count = l.warps.size();
    for (std::size_t w = 0; w < count; ++w) {
      std::size_t const first = (w + turn) % count * 32, end = first + 32 < threads ? first + 32 : threads;
      for (bool again = true; again;) {
        again = false;
        for (std::size_t lane = first; lane < end; ++lane) {
          std::size_t const i = turn & 32 ? end - 1 - (lane - first) : lane;
          if (l.fibers[i].now == state::ready) resume(i), again = true, ran = true;
        }
      }
    }
    for (fiber const& f : l.fibers) {
      all_in_block = all_in_block && (f.now == state::in_block || f.now == state::done);
      all_wait = all_wait && f.now == state::waits;
      all_done = all_done && f.now == state::done;
    }
    if (all_done || all_wait) return;
    if (all_in_block) {
      ++l.barriers;
      l.votes[l.barriers % 2] = 0;
      for (fiber& f : l.fibers)
        if (f.now == state::in_block) f.now = state::ready;
    } else if (!ran) {
      fail("threads wait for lanes that wait elsewhere");
    }
  }
}

void enter(launch& l, unsigned b) {
  now = &l;
  blockDim = l.block, gridDim = l.grid;
  blockIdx = dim3(b % l.grid.x, b / l.grid.x, 0);
}

// The first block of a kernel that may overlap, as far as it goes while the kernel ahead has not even begun.
void begin_early(launch& l) {
  enter(l, 0);
  clear_shared_memory();
  begin_block();
  l.has_begun = true;
  run_block();
}

void run_to_end(launch& l) {
  l.predecessor_is_over = true;
  for (unsigned b = 0; b < l.grid.x * l.grid.y; ++b) {
    enter(l, b);
    clear_shared_memory();  // whoever wrote some before it waited has lost it: others have run since
    if (b == 0 && l.has_begun) {
      for (fiber& f : l.fibers)
        if (f.now == state::waits) f.now = state::ready;
    } else {
      begin_block();
    }
    run_block();
  }
}

}  // namespace

void fail(char const* what) {
  std::fprintf(stderr, "simulated GPU: %s, block %u, thread %u\n", what, blockIdx.x, threadIdx.x);
  std::abort();
}

int lane() { return static_cast<int>(current % 32); }

int barrier(bool vote) {
  int const mine = now->barriers;
  if (vote) ++now->votes[mine % 2];
  now->fibers[current].now = state::in_block;
  to_scheduler();
  return now->votes[mine % 2];
}

unsigned char const* exchange(unsigned mask, void const* data, std::size_t bytes) {
  fiber& f = now->fibers[current];
  warp& w = now->warps[current / 32];
  int const parity = f.exchanges++ % 2;
  unsigned const me = 1U << (current % 32);
  if ((mask & me) == 0) fail("a lane outside the mask");
  if (bytes > 64) fail("more than 64 bytes");
  std::memcpy(w.slots[parity] + 64 * (current % 32), data, bytes);
  w.arrived[parity] |= me;
  if ((w.arrived[parity] & mask) == mask) {
    w.arrived[parity] &= ~mask;
    for (std::size_t l = 0; l < 32; ++l)
      if ((mask >> l & 1U) != 0 && current / 32 * 32 + l != current) now->fibers[current / 32 * 32 + l].now = state::ready;
  } else {
    f.now = state::in_warp;
    to_scheduler();
  }
  return w.slots[parity];
}

void wait_for_dependency() {
  fiber& f = now->fibers[current];
  f.waited = true;
  if (!now->overlaps || now->predecessor_is_over) return;
  f.now = state::waits;
  to_scheduler();
}

void launch_dependents() {
  if (now->overlaps && !now->fibers[current].waited)
    fail("lets the next kernel start, which will not wait for those that this one waits for");
}

void enqueue(dim3 grid, dim3 block, std::size_t shared_bytes, bool overlaps, std::function<void()> body) {
  if (block.x == 0 || block.x > 1024 || grid.x == 0) fail("a launch without threads, or with too many");
  if (shared_bytes > sizeof(moesaic::cuda::shared_memory)) fail("too much shared memory");
  ++counts.all;
  if (overlaps) ++counts.overlapping;
  auto l = std::make_unique<launch>(launch{grid, block, shared_bytes, std::move(body), overlaps});
  if (spare) l->stacks.swap(spare->stacks);
  if (overlaps && last) begin_early(*l);
  synchronize();
  last = std::move(l);
}

void synchronize() {
  if (!last) return;
  run_to_end(*last);
  spare = std::move(last);
}

launch_counts take_counts() { return std::exchange(counts, {}); }

}  // namespace simulated
