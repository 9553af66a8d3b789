// CUDA's threads as fibers: g++ compiles moesaic's kernels as C++ (cuda_runtime_api.h in this folder has CUDA's names), and this processor
// runs every thread of every block. It proves that kernels compute what they should, and it ends the program with a line that says where
//  - threads of a block, lanes of a warp, blocks of a cluster or of a cooperative grid miss each other: nobody can go on;
//  - lanes of a warp meet at different operations or with different masks;
//  - a kernel that may start early ends without having waited for the one ahead of it, or lets the next one start before;
//  - such a kernel touches memory from cudaMalloc before it has waited, or the host does at any time: it is locked then;
//  - a block writes behind its dynamic shared memory, or a kernel of blocks that run together has shared memory by __shared__, of which
//    there is one here;
//  - a block of a cluster reads the shared memory of one that has ended.
// A kernel runs no sooner than it must, when the next one is launched or somebody waits for it; but one that may start early begins ahead
// of the kernel ahead of it, one block or cluster of it, and goes as far as it does not wait. All shared memory is 0xFF at first (NaN).
// Some races show too, because blocks, warps and lanes take turns in another order in every launch; with FIBERS_BACKWARDS in the
// environment it is always from the last to the first. It knows nothing of caches, banks, memory order, alignment of vectors, or time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};
extern dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace fibers {

// --- of the host. All launches come from one thread of it ------------------------------------------------------------------------------

struct kernel_launch {
  dim3 grid, block;
  std::size_t shared_bytes = 0;  // dynamic
  unsigned cluster = 1;          // neighbouring blocks that run together
  bool cooperative = false;      // all blocks run together
  bool overlaps = false;         // may start before the kernel ahead of it is over
};

/// Puts a kernel at the end of the one stream: body() in each thread of each block. Answers false where a GPU would refuse its shape.
/// `kernel`: whose shared memory allow_shared has spoken of.
bool launch(kernel_launch const& shape, void const* kernel, std::function<void()> body);
/// Lets a kernel have more than 48 KB of dynamic shared memory.
void allow_shared(void const* kernel, std::size_t bytes);
/// Waits for all kernels.
void synchronize();

/// What has been launched since the last time.
struct launch_counts {
  long all = 0, overlapping = 0;
};
launch_counts take_counts();

/// Memory of the device, 0xFF at first: for kernels that run, and for copy, which waits for them.
void* allocate(std::size_t bytes);
void release(void* p);
void copy(void* to, void const* from, std::size_t bytes);

/// Ends the program with a line that says what is wrong, and in which block and thread.
[[noreturn]] void fail(char const* what);

// --- of a kernel's threads -------------------------------------------------------------------------------------------------------------

void wait_for_dependency();  // griddepcontrol
void launch_dependents();

/// Waits for all threads of the block that have not ended; answers for how many of them `vote` is true.
int barrier(bool vote);

/// A barrier in two parts for the blocks that run together, of which `members` threads arrive.
void arrive_at_group(unsigned members);
void wait_for_group();
unsigned blocks_together();
bool is_cooperative();

/// The dynamic shared memory of one's own block; of block `rank` of those that run together, none of whose threads has ended.
unsigned char* shared();
unsigned char const* shared_of(unsigned rank);

/// Barrier `id` of `members` threads of the block.
void barrier_of_some(int id, int members);

/// Waits until somebody calls wake(what), at `where`.
void sleep(void const* what, char const* where);
void wake(void const* what);
/// Has work done by others than threads, a copy engine say: when no thread can go on, or sooner.
void later(std::function<void()> work);

/// Where p is in the block's dynamic shared memory, and what is there.
std::uint32_t shared_address(void const* p);
unsigned char* shared_at(std::uint32_t address);

int lane();
/// What lanes have told each other.
struct lane_values {
  static constexpr std::size_t most_bytes = 64;
  unsigned char (*slot)[2][most_bytes];
  unsigned which;  // bit l: which of its slots lane l has used
  unsigned mask;   // lanes that have

  unsigned char* at(int l) const { return slot[l][which >> l & 1U]; }
  bool has(int l) const { return (mask >> l & 1U) != 0; }
  template <class T>
  T of(int l) const {
    T v;
    std::memcpy(&v, at(l), sizeof(T));
    return v;
  }
};
/// The lanes in `mask` meet at the operation `name`, each with what it has written to own_slot(). The last one to come calls `together`, if
/// there is one.
lane_values meet(unsigned mask, char const* name, void (*together)(lane_values const&) = nullptr);
unsigned char* own_slot();

/// Each lane in `mask` tells the others a value.
template <class T>
lane_values tell(unsigned mask, char const* name, T const& mine, void (*together)(lane_values const&) = nullptr) {
  static_assert(sizeof(T) <= lane_values::most_bytes);
  std::memcpy(own_slot(), &mine, sizeof(T));
  return meet(mask, name, together);
}
/// The same where the last lane makes all lanes' results of their values: F()(mask, values), in place.
template <class T, class F>
T resolve(unsigned mask, char const* name, T const& mine, F) {
  auto const together = [](lane_values const& all) {
    T values[32];
    for (int l = 0; l < 32; ++l)
      if (all.has(l)) values[l] = all.of<T>(l);
    F()(all.mask, values);
    for (int l = 0; l < 32; ++l)
      if (all.has(l)) std::memcpy(all.at(l), &values[l], sizeof(T));
  };
  return tell(mask, name, mine, together).template of<T>(lane());
}

}  // namespace fibers
