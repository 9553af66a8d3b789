// What the runtime finds in kernels that are wrong, and what it lets pass in those that are right.
#include <gtest/gtest.h>

#include <cstring>
#include <moesaic/cuda/launch.hpp>
#include <moesaic/cuda/ptx/cluster.hpp>
#include <moesaic/cuda/ptx/grid.hpp>

namespace {

namespace ptx = moesaic::cuda::ptx;

template <class... P, class... A>
bool start(moesaic::cuda::launch_shape const& shape, void (*kernel)(P...), A const&... arguments) {
  return static_cast<bool>(moesaic::cuda::start(nullptr, shape, kernel, arguments...));
}
template <class... A>
void run(A const&... a) {
  ASSERT_TRUE(start(a...));
  fibers::synchronize();
}

struct ints {
  int* at;
  explicit ints(std::size_t n) : at(static_cast<int*>(fibers::allocate(4 * n))) {}
  ints(ints const&) = delete;
  ints& operator=(ints const&) = delete;
  ~ints() { fibers::release(at); }
  int operator[](std::size_t i) const {
    int v;
    fibers::copy(&v, at + i, 4);
    return v;
  }
};

/// `out` gets, of block b, the sum of 0 … 63 from neighbours in the block; with Bar 0 somebody reads what is not there yet.
template <int Bar>
void neighbours(int* out) {
  __shared__ int v[64];
  ptx::follow_dependency();
  v[threadIdx.x] = static_cast<int>(threadIdx.x);
  if (Bar != 0) __syncthreads();
  int const next = v[(threadIdx.x + 33) % 64];
  if (next < 0) fibers::fail("poison");
  out[blockIdx.x * 64 + threadIdx.x] = next;
}

TEST(fibers, find_a_barrier_that_is_not_there) {
  ints const out(128);
  run(moesaic::cuda::launch_shape{.blocks = 2, .threads = 64, .overlaps = true}, neighbours<1>, out.at);
  EXPECT_EQ(out[64], 33);
  EXPECT_DEATH(run(moesaic::cuda::launch_shape{.blocks = 2, .threads = 64, .overlaps = true}, neighbours<0>, out.at),
               "poison, block \\(., 0\\), thread");
}

TEST(fibers, find_threads_that_miss_each_other) {
  moesaic::cuda::launch_shape const one{.threads = 64};
  EXPECT_DEATH(run(
                   one,
                   +[] {
                     if (threadIdx.x != 40) __syncthreads();
                     if (threadIdx.x == 40) __syncwarp();
                   }),
               "1 threads wait for lanes of their warp, 63 threads wait for their block, block \\(0, 0\\), thread 40");
  EXPECT_DEATH(run(
                   one,
                   +[] {
                     if (threadIdx.x % 2 == 0)
                       __syncwarp();
                     else
                       static_cast<void>(__ballot_sync(~0U, 1));
                   }),
               "different operations");
  EXPECT_DEATH(run(
                   one, +[] { __syncwarp(threadIdx.x == 3 ? 0x0FU : ~0U); }),
               "different masks|lanes of their warp");
  EXPECT_DEATH(run(
                   one, +[] { __syncwarp(1U); }),
               "outside its own mask");
}

TEST(fibers, have_parts_of_warps_and_threads_that_end) {
  ints const out(64);
  run(
      moesaic::cuda::launch_shape{.threads = 64},
      +[](int* to) {
        unsigned const lane = threadIdx.x % 32;
        int sum = static_cast<int>(lane);
        if (lane < 4) {  // three exchanges that the other lanes know nothing of
          for (int with = 1; with < 4; with *= 2) sum += __shfl_xor_sync(0x0FU, sum, with);
          sum += static_cast<int>(__reduce_max_sync(0x0FU, lane));
        }
        to[threadIdx.x] = __shfl_sync(~0U, sum, static_cast<int>(lane ^ 1U));
        if (threadIdx.x < 32) return;
        __syncthreads();
      },
      out.at);
  EXPECT_EQ(out[0], 9);
  EXPECT_EQ(out[3], 9);
  EXPECT_EQ(out[37], 4);
}

TEST(fibers, find_what_a_kernel_does_before_it_waits) {
  ints const x(64);
  moesaic::cuda::launch_shape const early{.overlaps = true};
  EXPECT_DEATH(run(
                   early,
                   +[](int* at) {
                     at[0] = 1;
                     ptx::follow_dependency();
                   },
                   x.at),
               "before the kernel ahead was waited for, block \\(0, 0\\)");
  EXPECT_DEATH(run(
                   early, +[] {}),
               "has not waited");
  EXPECT_DEATH(run(
                   early,
                   +[] {
                     ptx::launch_dependents();
                     ptx::wait_for_dependency();
                   }),
               "lets the next kernel start");
  EXPECT_DEATH(x.at[0] = 1, "the host reads or writes the device's memory");

  // It begins before the one ahead of it: what that one writes to other memory shows whether it has waited.
  static int ahead;
  ahead = 0;
  static_cast<void>(fibers::take_counts());
  ASSERT_TRUE(start(
      early, +[] {
        ptx::follow_dependency();
        ahead = 1;
      }));
  run(
      early,
      +[](int* to) {
        int const before = ahead;
        ptx::follow_dependency();
        to[0] = before, to[1] = ahead;
      },
      x.at);
  EXPECT_EQ(x[0], 0);
  EXPECT_EQ(x[1], 1);
  auto const [all, overlapping] = fibers::take_counts();
  EXPECT_EQ(all, 2);
  EXPECT_EQ(overlapping, 2);
}

/// Every block's sum of all blocks' numbers, by way of a word in the memory of each.
template <bool Waits, bool Stays>
void cluster_sum(int* out) {
  auto* const mine = ptx::dynamic_shared<std::uint32_t>();
  if (threadIdx.x == 0) *mine = blockIdx.x + 1;
  if (Waits) ptx::cluster_arrive(), ptx::cluster_wait();
  int sum = 0;
  for (unsigned b = 0; b < gridDim.x; ++b) sum += static_cast<int>(ptx::read_shared_of(b, mine));
  if (threadIdx.x == 0) out[blockIdx.x] = sum;
  if (Stays) ptx::cluster_arrive_relaxed(), ptx::cluster_wait();
}

template <bool Waits>
void grid_sum(int* numbers, int* out) {
  if (threadIdx.x == 0) numbers[blockIdx.x] = static_cast<int>(blockIdx.x) + 1;
  ptx::grid_ticket const ticket = ptx::arrive_at_grid();
  if (Waits) ptx::wait_for_grid(ticket);
  int sum = 0;
  for (unsigned b = 0; b < gridDim.x; ++b) sum += numbers[b];
  if (threadIdx.x == 0) out[blockIdx.x] = sum;
}

TEST(fibers, run_clusters_and_cooperative_grids) {
  ints const numbers(20), out(20);
  moesaic::cuda::launch_shape const cluster{.blocks = 4, .threads = 64, .shared_bytes = 4, .cluster = 4};
  run(cluster, cluster_sum<true, true>, out.at);
  EXPECT_EQ(out[3], 10);
  EXPECT_DEATH(run(cluster, cluster_sum<true, false>, out.at), "need not be there any more");
  run(cluster, cluster_sum<false, true>, out.at);
  EXPECT_NE(out[0] + out[1] + out[2] + out[3], 40);
  EXPECT_DEATH(run(
                   cluster,
                   +[] {
                     if (blockIdx.x != 2) ptx::cluster_arrive(), ptx::cluster_wait();
                   }),
               "the blocks that run with theirs");
  EXPECT_DEATH(run(cluster, neighbours<1>, numbers.at), "memory that is __shared__");

  moesaic::cuda::launch_shape grid{.blocks = 20, .threads = 64, .cooperative = true};
  run(grid, grid_sum<true>, numbers.at, out.at);
  EXPECT_EQ(out[0] + out[19], 420);
  ints const others(20);
  run(grid, grid_sum<false>, others.at, out.at);
  EXPECT_NE(out[0] + out[19], 420);
  grid.cooperative = false;
  EXPECT_DEATH(run(grid, grid_sum<true>, numbers.at, out.at), "not cooperative");
}

TEST(fibers, refuse_what_a_gpu_would) {
  auto* const nothing = +[] {};
  moesaic::cuda::launch_shape const large{.shared_bytes = 48 * 1024 + 4};
  EXPECT_FALSE(start({.blocks = 0}, nothing));
  EXPECT_FALSE(start({.threads = 1056}, nothing));
  EXPECT_FALSE(start({.columns = 65536}, nothing));
  EXPECT_FALSE(start({.blocks = 6, .cluster = 4}, nothing));
  EXPECT_FALSE(start(large, nothing));
  EXPECT_FALSE(moesaic::cuda::allow_shared(nothing, 228 * 1024));
  EXPECT_TRUE(moesaic::cuda::allow_shared(nothing, 227 * 1024));
  EXPECT_TRUE(start(large, nothing));
  EXPECT_DEATH(run(
                   moesaic::cuda::launch_shape{.shared_bytes = 8}, +[] { ptx::dynamic_shared<int>()[2] = 0; }),
               "behind its dynamic shared");
}

}  // namespace
