// Fibers switched by hand, each on a stack of its own, and the stream that their kernels stand in.
#include "fibers.hpp"

#include <link.h>
#include <signal.h>
#include <sys/mman.h>

#include <array>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <moesaic/core/macros.hpp>

dim3 threadIdx, blockIdx, blockDim, gridDim;

// What a block-scope `extern __shared__` in moesaic::cuda names.
namespace moesaic::inline MOESAIC_ABI::cuda {
alignas(1024) extern thread_local unsigned char shared_memory[228 * 1024];
thread_local unsigned char shared_memory[228 * 1024];
namespace sm90 {
alignas(1024) extern thread_local char shared[228 * 1024];
thread_local char shared[228 * 1024];
}  // namespace sm90
}  // namespace moesaic::inline MOESAIC_ABI::cuda

// fibers_switch(&mine, theirs): callee-saved registers onto this stack, its pointer to *mine, and on with theirs.
extern "C" void fibers_switch(void** mine, void* theirs);
asm(R"(
.text
.globl fibers_switch
fibers_switch:
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

namespace fibers {
namespace {

/// What a thread waits for; one that has ended is in none of these.
enum state { ready, in_warp, in_block, in_group, asleep, for_dependency, states };

struct fiber {
  void* stack_pointer;
  unsigned exchanges, which;  // of its warp: how many it has taken part in, and what the last one answered
  unsigned mask;              // of the exchange that it waits for, and its name
  char const* operation;
  unsigned ticket;    // which barrier of its group it has arrived at
  void const* until;  // what it sleeps until somebody wakes, and where
  char const* where;
};
struct warp {
  unsigned lanes[states];  // by what they wait for
  bool waited;             // one of them has waited for the kernel ahead
  alignas(64) unsigned char slot[32][2][lane_values::most_bytes];
};
struct block {
  unsigned live, at_barrier = 0, barriers = 0;
  int votes[2] = {};
  int at_named[16] = {};
};

/// Memory of the host's that costs nothing until it is touched.
class pages {
 public:
  pages() = default;
  pages(pages const&) = delete;
  pages& operator=(pages const&) = delete;
  ~pages() {
    if (at_ != nullptr) ::munmap(at_, bytes_);
  }
  unsigned char* at_least(std::size_t bytes) {
    if (bytes > bytes_) {
      if (at_ != nullptr) ::munmap(at_, bytes_);
      bytes_ = bytes;
      at_ = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (at_ == MAP_FAILED) fail("no memory");
    }
    return static_cast<unsigned char*>(at_);
  }

 private:
  void* at_ = nullptr;
  std::size_t bytes_ = 0;
};

/// Where the blocks that run together have their threads. Stacks are no power of two apart, so that their tops fall to different lines of
/// the caches.
struct room {
  static constexpr std::size_t stack_bytes = 96 * 1024 + 832;
  pages stacks, shared;
  unsigned char *first_stack = nullptr, *first_shared = nullptr;
  std::vector<fiber> fibers{};
  std::vector<warp> warps{};
  std::vector<block> blocks{};
  unsigned arrived = 0, generation = 0;       // at the barrier of the group
  std::vector<std::function<void()>> work{};  // of others than threads
  std::vector<unsigned char> left{};          // in memory by __shared__, when a group that has begun early had to wait

  unsigned char* stack(std::size_t i) const { return first_stack + i * stack_bytes; }
};

/// A kernel in the stream. Its first group of blocks may have begun.
struct kernel_in_stream {
  kernel_launch shape;
  std::function<void()> body;
  unsigned together, groups, first_group;
  bool has_begun = false, predecessor_is_over = false;
  std::unique_ptr<room> where{};
};

std::unique_ptr<kernel_in_stream> last;  // of the stream; it has not ended
std::unique_ptr<room> spare;
kernel_in_stream* now = nullptr;  // which runs
unsigned group;                   // of it
struct {
  fiber* thread;
  warp* of_warp;
  block* of_block;
  unsigned lane, rank;  // in the warp; of the block in its group
} current;
void* scheduler;
launch_counts counts;
std::map<void const*, std::size_t> allowed_shared;
bool const backwards = std::getenv("FIBERS_BACKWARDS") != nullptr;

std::size_t next_turn() {
  static std::uint64_t order = 671;
  order = order * 6364136223846793005u + 1442695040888963407u;
  return order >> 33;
}

// --- memory of the device --------------------------------------------------------------------------------------------------------------

/// One stretch of addresses, which is locked as a whole.
class device_memory {
 public:
  void* allocate(std::size_t bytes) {
    std::size_t const size = (bytes + page - 1) / page * page;
    auto const old = free_.find(size);
    void* p = nullptr;
    if (old != free_.end()) {
      p = old->second;
      free_.erase(old);
    } else {
      if (first_ == nullptr) reserve();
      if (size > most - used_) return nullptr;
      p = first_ + used_;
      used_ += size;
    }
    size_of_[p] = size;
    lock(false, p, size);
    std::memset(p, 0xFF, size);
    lock(true, p, size);
    return p;
  }
  void release(void* p) {
    if (p != nullptr) free_.emplace(size_of_.at(p), p);
  }
  static bool has(void const* p) { return p >= first_ && p < first_ + used_; }
  /// All of it, or what is near these bytes if they are of this memory: a lot of it is slow to lock.
  void lock(bool yes) const { lock(yes, first_, used_); }
  void lock(bool yes, void const* p, std::size_t bytes) const {
    if (!has(p)) return;
    std::size_t const at = static_cast<std::size_t>(static_cast<unsigned char const*>(p) - first_), before = at % page;
    ::mprotect(first_ + at - before, before + bytes, yes ? PROT_NONE : PROT_READ | PROT_WRITE);
  }

 private:
  static constexpr std::size_t page = 4096, most = std::size_t{16} << 30;
  static inline unsigned char* first_ = nullptr;
  static inline std::size_t used_ = 0;
  std::map<void*, std::size_t> size_of_;
  std::multimap<std::size_t, void*> free_;

  static void reserve() {
    void* const p = ::mmap(nullptr, most, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) fail("no addresses for the device's memory");
    first_ = static_cast<unsigned char*>(p);
  }
};
device_memory memory;

void explain_fault(int, siginfo_t* info, void*) {
  bool const ours = device_memory::has(info->si_addr);
  if (now != nullptr)
    fail(ours && !now->predecessor_is_over ? "memory is read or written before the kernel ahead was waited for" : "a wild address");
  if (ours) fail("the host reads or writes the device's memory");
}  // else the instruction faults again

bool const explains_faults = [] {
  struct sigaction action = {};
  action.sa_sigaction = explain_fault;
  action.sa_flags = static_cast<int>(SA_SIGINFO | SA_RESETHAND);
  return ::sigaction(SIGSEGV, &action, nullptr) == 0;
}();

// --- shared memory by __shared__ -------------------------------------------------------------------------------------------------------

/// It is all that this program has of thread_local, since all fibers are on one thread.
struct stretch {
  unsigned char *first, *last;
};
stretch static_shared() {
  static stretch const all = [] {
    stretch s{};
    ::dl_iterate_phdr(
        [](dl_phdr_info* program, std::size_t, void* to) {
          for (int i = 0; i < program->dlpi_phnum; ++i)
            if (program->dlpi_phdr[i].p_type == PT_TLS) {
              auto* const first = static_cast<unsigned char*>(program->dlpi_tls_data);
              *static_cast<stretch*>(to) = {first, first + program->dlpi_phdr[i].p_memsz};
            }
          return 1;  // the first is the program itself
        },
        &s);
    return s;
  }();
  return all;
}

constexpr unsigned char poison = 0xFF;
constexpr std::size_t margin = 256;  // behind dynamic shared memory

bool is_poison(unsigned char const* first, unsigned char const* end) {
  return first == end || (*first == poison && std::memcmp(first, first + 1, static_cast<std::size_t>(end - first) - 1) == 0);
}

/// What a block-scope `extern __shared__` can name.
unsigned char* const dynamic_names[] = {moesaic::cuda::shared_memory, reinterpret_cast<unsigned char*>(moesaic::cuda::sm90::shared)};
constexpr std::size_t most_dynamic = sizeof(moesaic::cuda::shared_memory);

/// What __shared__ names: of dynamic memory as much as the kernel has, and the margin.
std::array<stretch, 5> static_shared_of_kernel() {
  auto const [first, end] = static_shared();
  auto const [one, other] = std::minmax(dynamic_names[0], dynamic_names[1]);
  std::size_t const bytes = now->shape.shared_bytes + margin;
  return {{{first, one}, {one, one + bytes}, {one + most_dynamic, other}, {other, other + bytes}, {other + most_dynamic, end}}};
}

std::size_t shared_stride() { return (now->shape.shared_bytes + margin + 1023) / 1024 * 1024; }
unsigned char* first_shared(unsigned rank) { return now->where->first_shared + rank * shared_stride(); }

void check_shared_memory() {
  std::size_t const bytes = now->shape.shared_bytes;
  bool fits = true;
  for (unsigned char const* const name : dynamic_names) fits = fits && is_poison(name + bytes, name + bytes + margin);
  for (unsigned b = 0; b < now->together; ++b) fits = fits && is_poison(first_shared(b) + bytes, first_shared(b) + bytes + margin);
  if (!fits) fail("the block has written behind its dynamic shared memory");
  if (now->together > 1)
    for (auto const [first, end] : static_shared_of_kernel())
      if (!is_poison(first, end))
        fail(
            "blocks that run together have written to memory that is __shared__, which is one for all of them here: use "
            "ptx::dynamic_shared");
}

// --- blocks that run together ----------------------------------------------------------------------------------------------------------

void wait_as(state s) {
  current.of_warp->lanes[s] |= 1U << current.lane;
  fibers_switch(&current.thread->stack_pointer, scheduler);
}

std::size_t warps_a_block() { return blockDim.x / 32; }

void wake(std::size_t first_warp, std::size_t warps, state from) {
  for (warp* w = &now->where->warps[first_warp]; warps > 0; ++w, --warps) w->lanes[ready] |= std::exchange(w->lanes[from], 0);
}

void open_barrier_if_all_are_there() {
  block& b = *current.of_block;
  if (b.at_barrier == 0 || b.at_barrier < b.live) return;
  b.at_barrier = 0;
  b.votes[++b.barriers % 2] = 0;
  wake(current.rank * warps_a_block(), warps_a_block(), in_block);
}

void first_step() {
  now->body();
  --current.of_block->live;
  open_barrier_if_all_are_there();
  fibers_switch(&current.thread->stack_pointer, scheduler);
  std::abort();
}

void place(std::size_t w, unsigned lane) {
  room& r = *now->where;
  auto const rank = static_cast<unsigned>(w / warps_a_block()), b = group * now->together + rank;
  current = {&r.fibers[w * 32 + lane], &r.warps[w], &r.blocks[rank], lane, rank};
  threadIdx.x = static_cast<unsigned>(w % warps_a_block()) * 32 + lane;
  blockIdx.x = b % gridDim.x;
  blockIdx.y = b / gridDim.x;
}

/// Group number `turn` of the kernel's, in whatever order.
void enter(kernel_in_stream& k, unsigned turn) {
  now = &k;
  blockDim = k.shape.block, gridDim = k.shape.grid;
  group = backwards ? k.groups - 1 - turn : (k.first_group + turn) % k.groups;
}

void begin_group() {
  kernel_in_stream& k = *now;
  room& r = *k.where;
  std::size_t const count = std::size_t{k.together} * blockDim.x;
  r.first_stack = r.stacks.at_least(count * room::stack_bytes);
  r.first_shared = r.shared.at_least(k.together * shared_stride());
  std::memset(r.first_shared, poison, k.together * shared_stride());
  r.warps.resize(count / 32);
  for (warp& w : r.warps) {
    for (int s = 0; s < states; ++s) w.lanes[s] = s == ready ? ~0U : 0;
    w.waited = false;
  }
  for (auto const [first, end] : static_shared_of_kernel()) std::memset(first, poison, static_cast<std::size_t>(end - first));
  r.blocks.assign(k.together, {.live = blockDim.x});
  r.arrived = 0;
  r.fibers.assign(count, {});
  for (std::size_t i = 0; i < count; ++i) {
    auto const top = reinterpret_cast<std::uintptr_t>(r.stack(i + 1)) & ~std::uintptr_t{63};
    auto* const words = reinterpret_cast<void**>(top) - 8;  // six registers, the address to go to, and what would be its return address
    for (int w = 0; w < 8; ++w) words[w] = nullptr;
    words[6] = reinterpret_cast<void*>(&first_step);
    r.fibers[i].stack_pointer = words;
  }
}

/// Runs what is ready of a warp, then what is by then: nobody is two exchanges ahead of a lane that has not read its values. Answers
/// whether anything was.
bool run_warp(std::size_t w, bool from_last) {
  room const& r = *now->where;
  place(w, 0);
  warp& own = *current.of_warp;
  fiber* const first = current.thread;
  if (own.lanes[ready] == 0) return false;
  while (own.lanes[ready] != 0)
    for (unsigned rest = std::exchange(own.lanes[ready], 0); rest != 0;) {
      int const l = from_last ? std::bit_width(rest) - 1 : std::countr_zero(rest);
      rest &= ~(1U << l);
      threadIdx.x += static_cast<unsigned>(l) - current.lane;
      current.lane = static_cast<unsigned>(l);
      current.thread = first + l;
      fibers_switch(&scheduler, current.thread->stack_pointer);
      if (static_cast<unsigned char*>(current.thread->stack_pointer) < r.stack(w * 32 + current.lane) + 1024)
        fail("the thread's stack is full");
    }
  return true;
}

/// f(each of [0, count)), in an order that is another one every time.
template <class F>
void in_turn(std::size_t count, F const& f) {
  std::size_t const first = next_turn() % count;
  for (std::size_t i = 0; i < count; ++i) f(backwards ? count - 1 - i : (first + i) % count);
}

/// Something that others than threads have to do, if there is anything.
bool do_some_work() {
  auto& work = now->where->work;
  if (work.empty()) return false;
  std::swap(work[next_turn() % work.size()], work.back());
  std::function<void()> const some = std::move(work.back());
  work.pop_back();
  some();
  return true;
}

/// Runs the group until nobody is ready: a block, and of it a warp, goes as far as it can before another has its turn, so that a barrier
/// that is not there shows.
void run_group() {
  bool ran;
  auto const run_block = [&ran](std::size_t b) {
    bool again;
    do {
      again = next_turn() % 4 == 0 && do_some_work();
      bool const from_last = backwards || next_turn() % 2 == 1;
      in_turn(warps_a_block(), [&](std::size_t w) { again = run_warp(b * warps_a_block() + w, from_last) || again; });
      ran = ran || again;
    } while (again);
  };
  do {
    ran = false;
    in_turn(now->together, run_block);
    if (!ran) ran = do_some_work();
  } while (ran);
  check_shared_memory();
}

/// Or says what the others wait for, and of the fewest of them where one is.
void check_that_all_are_done() {
  constexpr char const* waits[states] = {
      "", "lanes of their warp", "their block", "the blocks that run with theirs", "somebody to wake them", ""};
  std::vector<warp> const& warps = now->where->warps;
  std::string what;
  int fewest = 0;
  for (state const s : {in_warp, in_block, in_group, asleep}) {
    int threads = 0;
    std::size_t at = 0;
    for (std::size_t w = warps.size(); w-- > 0;)
      if (warps[w].lanes[s] != 0) threads += std::popcount(warps[w].lanes[s]), at = w;
    if (threads == 0) continue;
    what += (what.empty() ? "" : ", ") + std::to_string(threads) + " threads wait for " + waits[s];
    if (s == asleep)
      what += std::string(", one of them ") +
              now->where->fibers[at * 32 + static_cast<std::size_t>(std::countr_zero(warps[at].lanes[s]))].where;
    if (fewest == 0 || threads < fewest) place(at, static_cast<unsigned>(std::countr_zero(warps[at].lanes[s]))), fewest = threads;
  }
  if (fewest > 0) fail(("nobody can go on: " + what).c_str());
  for (std::size_t w = 0; w < warps.size(); ++w)
    if (now->shape.overlaps && !warps[w].waited) place(w, 0), fail("a warp of a kernel that may start early has not waited");
}

/// The first group of a kernel that may start early, as far as it goes while the kernel ahead has not even begun.
void begin_early(kernel_in_stream& k) {
  enter(k, 0);
  begin_group();
  k.has_begun = true;
  run_group();
  k.where->left.clear();
  for (auto const [first, end] : static_shared_of_kernel()) k.where->left.insert(k.where->left.end(), first, end);
  now = nullptr;
}

void run_to_end(kernel_in_stream& k) {
  memory.lock(false);
  k.predecessor_is_over = true;
  for (unsigned turn = 0; turn < k.groups; ++turn) {
    enter(k, turn);
    if (turn == 0 && k.has_begun) {
      unsigned char const* left = k.where->left.data();  // others have run since
      for (auto const [first, end] : static_shared_of_kernel()) {
        std::copy_n(left, end - first, first);
        left += end - first;
      }
      wake(0, k.where->warps.size(), for_dependency);
    } else {
      begin_group();
    }
    run_group();
    check_that_all_are_done();
  }
  now = nullptr;
  memory.lock(true);
}

}  // namespace

void fail(char const* what) {
  if (now != nullptr)
    std::fprintf(stderr, "fibers: %s, block (%u, %u), thread %u\n", what, blockIdx.x, blockIdx.y, threadIdx.x);
  else
    std::fprintf(stderr, "fibers: %s\n", what);
  std::abort();
}

bool launch(kernel_launch const& shape, void const* kernel, std::function<void()> body) {
  auto const allowed = allowed_shared.find(kernel);
  std::size_t const most_shared = allowed != allowed_shared.end() ? allowed->second : 48 * 1024;
  if (shape.grid.x == 0 || shape.grid.y == 0 || shape.grid.x > 0x7FFF'FFFF || shape.grid.y > 65535 || shape.block.x == 0 ||
      shape.block.x > 1024 || shape.shared_bytes > most_shared || shape.cluster == 0 || shape.cluster > 8 ||
      shape.grid.x % shape.cluster != 0)
    return false;
  if (shape.block.x % 32 != 0 || shape.block.y * shape.block.z * shape.grid.z != 1)
    fail("only whole warps, in a row, in grids of two dimensions");
  if (shape.cooperative && shape.cluster > 1) fail("a cooperative grid has no clusters here");
  ++counts.all;
  if (shape.overlaps) ++counts.overlapping;
  unsigned const blocks = shape.grid.x * shape.grid.y, together = shape.cooperative ? blocks : shape.cluster, groups = blocks / together;
  auto k = std::make_unique<kernel_in_stream>(
      kernel_in_stream{shape, std::move(body), together, groups, static_cast<unsigned>(next_turn() % groups)});
  k->where = spare ? std::move(spare) : std::make_unique<room>();
  if (shape.overlaps) begin_early(*k);
  synchronize();
  last = std::move(k);
  return true;
}

void allow_shared(void const* kernel, std::size_t bytes) { allowed_shared[kernel] = bytes; }

void synchronize() {
  if (!last) return;
  run_to_end(*last);
  spare = std::move(last->where);
  last.reset();
}

launch_counts take_counts() { return std::exchange(counts, {}); }

void* allocate(std::size_t bytes) { return memory.allocate(bytes); }
void release(void* p) {
  synchronize();
  memory.release(p);
}
void copy(void* to, void const* from, std::size_t bytes) {
  synchronize();
  if (bytes == 0) return;
  for (void const* p : {static_cast<void const*>(to), from}) memory.lock(false, p, bytes);
  std::memcpy(to, from, bytes);
  for (void const* p : {static_cast<void const*>(to), from}) memory.lock(true, p, bytes);
}

void wait_for_dependency() {
  current.of_warp->waited = true;
  if (now->shape.overlaps && !now->predecessor_is_over) wait_as(for_dependency);
}

void launch_dependents() {
  if (now->shape.overlaps && !current.of_warp->waited)
    fail("lets the next kernel start, which will not wait for those that this one waits for");
}

int barrier(bool vote) {
  block& b = *current.of_block;
  int& votes = b.votes[b.barriers % 2];
  if (vote) ++votes;
  ++b.at_barrier;
  current.of_warp->lanes[in_block] |= 1U << current.lane;
  open_barrier_if_all_are_there();
  fibers_switch(&current.thread->stack_pointer, scheduler);
  return votes;
}

void arrive_at_group(unsigned members) {
  room& r = *now->where;
  current.thread->ticket = r.generation;
  if (++r.arrived < members) return;
  r.arrived = 0;
  ++r.generation;
  wake(0, r.warps.size(), in_group);
}
void wait_for_group() {
  if (now->where->generation == current.thread->ticket) wait_as(in_group);
}
unsigned blocks_together() { return now->together; }
bool is_cooperative() { return now->shape.cooperative; }

unsigned char* shared() { return first_shared(current.rank); }
unsigned char const* shared_of(unsigned rank) {
  if (rank >= now->together) fail("reads the shared memory of a block that does not run with this one");
  if (now->where->blocks[rank].live != blockDim.x) fail("reads the shared memory of a block that need not be there any more");
  return first_shared(rank);
}

void barrier_of_some(int id, int members) {
  if (id <= 0 || id > 15 || members % 32 != 0) fail("there is no such named barrier");
  int& here = current.of_block->at_named[id];
  if (++here < members) return sleep(&here, "at a named barrier");
  here = 0;
  wake(&here);
}

void sleep(void const* what, char const* where) {
  current.thread->until = what, current.thread->where = where;
  wait_as(asleep);
}
void wake(void const* what) {
  room& r = *now->where;
  for (std::size_t w = 0; w < r.warps.size(); ++w)
    for (unsigned rest = r.warps[w].lanes[asleep]; rest != 0; rest &= rest - 1) {
      int const l = std::countr_zero(rest);
      if (r.fibers[w * 32 + static_cast<std::size_t>(l)].until != what) continue;
      r.warps[w].lanes[asleep] &= ~(1U << l);
      r.warps[w].lanes[ready] |= 1U << l;
    }
}
void later(std::function<void()> work) { now->where->work.push_back(std::move(work)); }

namespace {
unsigned char* addressed = nullptr;  // the dynamic name that was addressed last; null: ptx::dynamic_shared's memory
}  // namespace
std::uint32_t shared_address(void const* p) {
  auto const* const at = static_cast<unsigned char const*>(p);
  addressed = nullptr;
  for (unsigned char* const name : dynamic_names)
    if (at >= name && at < name + most_dynamic) addressed = name;
  unsigned char const* const first = addressed != nullptr ? addressed : shared();
  if (at < first || at >= first + now->shape.shared_bytes) fail("an address outside the block's dynamic shared memory");
  return static_cast<std::uint32_t>(at - first);
}
unsigned char* shared_at(std::uint32_t address) {
  if (address >= now->shape.shared_bytes) fail("an address behind the block's dynamic shared memory");
  return (addressed != nullptr ? addressed : shared()) + address;
}

int lane() { return static_cast<int>(current.lane); }

unsigned char* own_slot() { return current.of_warp->slot[current.lane][current.thread->exchanges % 2]; }

lane_values meet(unsigned mask, char const* name, void (*together)(lane_values const&)) {
  fiber& f = *current.thread;
  warp& w = *current.of_warp;
  if ((mask >> current.lane & 1U) == 0) fail("a lane outside its own mask");
  f.mask = mask, f.operation = name;
  w.lanes[in_warp] |= 1U << current.lane;
  if ((w.lanes[in_warp] & mask) == mask) {
    fiber* const first = &f - current.lane;
    unsigned which = 0;
    for (unsigned rest = mask; rest != 0; rest &= rest - 1) {
      int const l = std::countr_zero(rest);
      if (first[l].mask != mask || (first[l].operation != name && std::strcmp(first[l].operation, name) != 0))
        fail("lanes of a warp meet at different operations, or with different masks");
      which |= (first[l].exchanges % 2) << l;
    }
    if (together != nullptr) together({w.slot, which, mask});
    for (unsigned rest = mask; rest != 0; rest &= rest - 1) {
      fiber& other = first[std::countr_zero(rest)];
      ++other.exchanges, other.which = which;
    }
    w.lanes[in_warp] &= ~mask;
    w.lanes[ready] |= mask;
  }
  fibers_switch(&f.stack_pointer, scheduler);  // the last one too
  return {w.slot, f.which, mask};
}

}  // namespace fibers
