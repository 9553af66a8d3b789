// The dispatch map in one launch, without a sort and without atomics: one block, or a cluster of eight that reads each other's counts.
//
//   1  each warp counts its own consecutive slots by expert, 32 at a time: lanes with the same expert find each other (match)
//   2  each block sums its warps' counts, and every warp learns what the warps before it have of each expert
//   3  each block sums the blocks' counts: where every expert starts, and what the blocks before it have of each
//   4  row = start of the expert + earlier blocks + earlier warps + earlier slots of this warp
//
// With sizes that the compiler knows for up to 65536 slots and 512 experts (map_in_registers.hpp); here for all others.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include <moesaic/cuda/launch.hpp>
#include <moesaic/cuda/map_in_registers.hpp>
#include <moesaic/cuda/ptx/cluster.hpp>
#include <moesaic/cuda/vector.hpp>
#include <moesaic/semantics/dispatch.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

namespace detail {

/// How any number of slots is spread: consecutive runs of `run` slots, a multiple of 32, one for each warp of `blocks` blocks. In shared
/// memory lie, as words of 32 bits,
///   counts [warps][experts], later what earlier warps have; block [experts], the block's counts; base [experts], where the block's first
///   row of each expert goes; carry [33], of the scan over experts.
struct map_plan {
  static constexpr int lanes = 32, most_blocks = 8;
  static constexpr std::int64_t most_shared = 48 * 1024;

  int experts, blocks, warps;
  std::uint32_t run;

  constexpr std::int64_t shared_bytes() const { return 4 * ((std::int64_t{warps} + 2) * experts + 33); }

  /// For `blocks` blocks that work together. warps is 0 where not even one warp's counts fit.
  static constexpr map_plan of(std::int64_t slots, int experts, int blocks) {
    map_plan p{experts, blocks, 32, 0};
    while (p.warps > 0 && p.shared_bytes() > most_shared) p.warps /= 2;
    if (p.warps > 0) p.run = static_cast<std::uint32_t>(align_up(ceil_div(slots > 0 ? slots : 1, std::int64_t{p.blocks} * p.warps), lanes));
    return p;
  }
};

template <class Plan>
__global__ void __launch_bounds__(1024) build_map(build_dispatch_map const f, Plan const p) {
  constexpr int lanes = Plan::lanes;
  int const warp = static_cast<int>(threadIdx.x) / lanes, lane = static_cast<int>(threadIdx.x) % lanes, experts = p.experts;
  std::uint32_t* const counts = ptx::dynamic_shared<std::uint32_t>();
  std::uint32_t* const block = counts + p.warps * experts;
  std::int32_t* const base = reinterpret_cast<std::int32_t*>(block + experts);
  std::int32_t* const carry = base + experts;
  std::uint32_t* const mine = counts + warp * experts;
  ptx::follow_dependency();

  // Slots are below 2³¹; what counts on behind the last of them is below 2³².
  std::uint32_t const slots = static_cast<std::uint32_t>(f.map.tokens * f.map.top_k);
  std::uint32_t const first = (blockIdx.x * static_cast<unsigned>(p.warps) + static_cast<unsigned>(warp)) * p.run;
  std::uint32_t const last = first + p.run < slots ? first + p.run : slots;  // of this warp
  std::uint32_t valid = slots;
  if (f.valid_tokens != nullptr) {
    std::int64_t const v = std::int64_t{*f.valid_tokens} * f.map.top_k;
    valid = v < 0 ? 0 : v < slots ? static_cast<std::uint32_t>(v) : slots;
  }
  // Calls then(slot, expert or −1, how many of the expert mine counts in earlier slots) for the warp's slots, and counts them.
  auto const each_slot = [&](auto const& then) {
    for (std::uint32_t start = first; start < last; start += lanes) {
      std::uint32_t const slot = start + static_cast<unsigned>(lane);
      int const id = slot < last && slot < valid ? f.ids[slot] : -1;
      int const expert = id >= 0 && id < experts ? id : -1;
      unsigned const peers = ::__match_any_sync(~0U, expert);
      int const below = __popc(peers & ((1U << lane) - 1));
      std::uint32_t const before = expert >= 0 ? mine[expert] : 0;
      __syncwarp();
      if (expert >= 0 && below == 0) mine[expert] = before + static_cast<unsigned>(__popc(peers));
      __syncwarp();
      then(slot, expert, static_cast<std::int32_t>(before) + below);
    }
  };

  for (int e = lane; e < experts; e += lanes) mine[e] = 0;
  __syncwarp();
  each_slot([](std::uint32_t, int, std::int32_t) {});
  __syncthreads();

  for (int e = static_cast<int>(threadIdx.x); e < experts; e += static_cast<int>(blockDim.x)) {
    std::uint32_t before = 0;
    for (int w = 0; w < p.warps; ++w) {
      std::uint32_t const own = counts[w * experts + e];
      counts[w * experts + e] = before;
      before += own;
    }
    block[e] = before;
  }
  bool const alone = gridDim.x == 1;
  if (alone) {
    __syncthreads();
  } else {
    ptx::cluster_arrive();
    ptx::cluster_wait();
  }

  std::int32_t total = 0;
  for (int start = 0; start < experts; start += static_cast<int>(blockDim.x)) {
    int const e = start + static_cast<int>(threadIdx.x);
    std::int32_t own = 0, earlier = 0;
    if (e < experts)
      for (unsigned b = 0; b < gridDim.x; ++b) {
        std::int32_t const c = static_cast<std::int32_t>(alone ? block[e] : ptx::read_shared_of(b, block + e));
        own += c;
        if (b < blockIdx.x) earlier += c;
      }
    std::int32_t up_to = own;  // and with the lanes, then the warps before
#pragma unroll
    for (int d = 1; d < lanes; d *= 2) {
      std::int32_t const other = ::__shfl_up_sync(~0U, up_to, static_cast<unsigned>(d));
      if (lane >= d) up_to += other;
    }
    if (lane == lanes - 1) carry[warp] = up_to;
    __syncthreads();
    std::int32_t before = total + up_to - own;
    for (int w = 0; w < p.warps; ++w) {
      if (w < warp) before += carry[w];
      total += carry[w];
    }
    if (e < experts) {
      base[e] = before + earlier;
      if (blockIdx.x == 0) f.map.expert_offsets[e] = before;
    }
    __syncthreads();  // the next experts write carry, the rows below read base
  }
  if (!alone) ptx::cluster_arrive_relaxed();  // no block leaves while others read its counts
  if (blockIdx.x == 0 && threadIdx.x == 0) f.map.expert_offsets[experts] = total;

  each_slot([&](std::uint32_t slot, int expert, std::int32_t before) {  // which counts on from the earlier warps
    if (slot >= last) return;
    std::int32_t const row = expert >= 0 ? base[expert] + before : -1;
    f.map.slot_to_row[slot] = row;
    if (row >= 0) f.map.row_to_slot[row] = static_cast<std::int32_t>(slot);
  });
#pragma unroll 1
  for (std::uint32_t i = static_cast<std::uint32_t>(total) + blockIdx.x * blockDim.x + threadIdx.x; i < slots; i += gridDim.x * blockDim.x)
    f.map.row_to_slot[i] = -1;
  if (!alone) ptx::cluster_wait();
}

#pragma GCC visibility push(hidden)  // see cuda/launch.hpp

/// Blocks that may work together: most_blocks, which every device of compute capability 9.0 or later can place, if the code was made for
/// one.
inline int map_cluster() { return is_code_for_90(build_map<map_plan>) ? map_plan::most_blocks : 1; }

/// All blocks are one cluster.
constexpr launch_shape one_cluster(int blocks, int threads, std::int64_t shared_bytes) {
  return {.blocks = static_cast<unsigned>(blocks),
          .threads = static_cast<unsigned>(threads),
          .shared_bytes = static_cast<unsigned>(shared_bytes),
          .cluster = static_cast<unsigned>(blocks),
          .overlaps = true};
}

template <int Words, int Warps, int Rounds>
status start_map_in_registers(cudaStream_t stream, int blocks, build_dispatch_map const& f) {
  using shape = register_map<Words, Warps, Rounds>;
  return start(stream, one_cluster(blocks, shape::threads, sizeof(typename shape::shared)),
               build_map_in_registers<shape, Words, Warps, Rounds>, f);
}

/// Blocks of 1024 threads, or one of 512, with as few rounds as they allow.
template <int Words>
status start_map_of(cudaStream_t stream, std::int64_t slots, int blocks, build_dispatch_map const& f) {
  if (slots <= 512) return start_map_in_registers<Words, 16, 1>(stream, 1, f);
  if (slots <= blocks * 1024) return start_map_in_registers<Words, 32, 1>(stream, blocks, f);
  if (slots <= blocks * 2048) return start_map_in_registers<Words, 32, 2>(stream, blocks, f);
  if (slots <= blocks * 4096) return start_map_in_registers<Words, 32, 4>(stream, blocks, f);
  return start_map_in_registers<Words, 32, 8>(stream, blocks, f);
}

#pragma GCC visibility pop

}  // namespace detail

#pragma GCC visibility push(hidden)  // see cuda/launch.hpp

template <>
struct launcher<build_dispatch_map> {
  static status launch(cudaStream_t stream, std::int64_t n, build_dispatch_map const& f) {
    if (n <= 0) return {};
    std::int64_t const slots = f.map.tokens * f.map.top_k;
    int const blocks = slots > 1024 ? detail::map_cluster() : 1;
    if (slots <= blocks * 8192 && f.map.experts <= 256) return detail::start_map_of<128>(stream, slots, blocks, f);
    if (slots <= blocks * 8192 && f.map.experts <= 512) return detail::start_map_of<256>(stream, slots, blocks, f);
    detail::map_plan const p = detail::map_plan::of(slots, f.map.experts, blocks);
    if (p.warps == 0) return start_any(stream, n, f);
    return start(stream, detail::one_cluster(p.blocks, p.warps * detail::map_plan::lanes, p.shared_bytes()),
                 detail::build_map<detail::map_plan>, f, p);
  }
};

#pragma GCC visibility pop

}  // namespace moesaic::inline MOESAIC_ABI::cuda
