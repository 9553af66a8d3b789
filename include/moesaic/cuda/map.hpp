// The dispatch map in one launch, without a sort and without atomics: one block, or a cluster of eight that reads each other's counts.
//
//   1  each warp counts its own consecutive slots by expert, 32 at a time: lanes with the same expert find each other (match)
//   2  each block sums its warps' counts, and every warp learns what the warps before it have of each expert
//   3  each block sums the blocks' counts: where every expert starts, and what the blocks before it have of each
//   4  row = start of the expert + earlier blocks + earlier warps + earlier slots of this warp
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <moesaic/cuda/launch.hpp>
#include <moesaic/cuda/ptx/cluster.hpp>
#include <moesaic/cuda/vector.hpp>
#include <moesaic/semantics/dispatch.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

namespace detail {

/// How the slots are spread: consecutive runs of `run` slots, a multiple of 32, one for each warp of `blocks` blocks. In shared memory lie
/// words of 32 bits, of which each counts one expert, or two in 16 bits each where no count can reach 2¹⁶:
///   counts [warps][words], later what earlier warps have; sums [parts][words] of a few warps each; block [words], the block's counts;
///   base [experts], where the block's first row of each expert goes; carry [33], of the scan over experts.
struct map_plan {
  static constexpr int lanes = 32, most_rounds = 8, most_blocks = 8;
  static constexpr std::int64_t most_shared = 48 * 1024;

  int experts, blocks, warps;
  int rounds;        ///< of 32 slots that a warp keeps in registers; 0: any number, which are read twice
  int words;         ///< that count all experts
  int tiles;         ///< of 32 words
  int parts;         ///< into which the warps' counts are divided,
  int warps_a_part;  ///< of so many warps; the last may have fewer
  std::uint32_t run;

  constexpr std::int64_t shared_bytes() const { return 4 * ((std::int64_t{warps} + parts + 1) * words + experts + 33); }

  /// `cluster`: the most blocks that can work together. warps is 0 where not even one warp's counts fit.
  static constexpr map_plan of(std::int64_t slots, int experts, int cluster) {
    int const blocks = slots > 4096 ? cluster : 1;
    std::int64_t const a_warp = ceil_div(ceil_div(slots, blocks * 32), lanes);
    int rounds = 1;
    while (rounds < a_warp && rounds <= most_rounds) rounds *= 2;
    int warps = 32;
    if (blocks == 1)  // no warp without slots
      while (warps > 1 && rounds <= most_rounds && std::int64_t{warps / 2} * rounds * lanes >= slots) warps /= 2;
    if (rounds <= most_rounds)
      if (map_plan const p = made(slots, experts, blocks, warps, rounds); p.shared_bytes() <= most_shared) return p;
    for (warps = 32; warps > 0; warps /= 2)
      if (map_plan const p = made(slots, experts, blocks, warps, 0); p.shared_bytes() <= most_shared) return p;
    return {};
  }

 private:
  static constexpr map_plan made(std::int64_t slots, int experts, int blocks, int warps, int rounds) {
    int const words = rounds > 0 ? (experts + 1) / 2 : experts, tiles = words <= lanes ? 1 : (words + lanes - 1) / lanes;
    int const parts = tiles < warps ? warps / tiles : 1;
    std::int64_t const some = slots > 0 ? slots : 1;
    return {.experts = experts,
            .blocks = blocks,
            .warps = warps,
            .rounds = rounds,
            .words = words,
            .tiles = tiles,
            .parts = parts,
            .warps_a_part = (warps + parts - 1) / parts,
            .run = static_cast<std::uint32_t>(rounds > 0 ? rounds * lanes : align_up(ceil_div(some, std::int64_t{blocks} * warps), lanes))};
  }
};

/// The lanes below this one.
__device__ inline unsigned lanes_below() { return (1U << (threadIdx.x % 32)) - 1; }

/// One warp's counts, of 16 or 32 bits.
template <class Count>
struct warp_counts {
  Count* of;

  /// Counts the expert of each lane, −1 for none, whose lanes are `peers`: answers how many there were before, in earlier calls and in
  /// lanes below.
  __device__ int add(int expert, unsigned peers) const {
    int const below = __popc(peers & lanes_below());
    int const before = expert >= 0 ? static_cast<int>(of[expert]) : 0;
    __syncwarp();
    if (expert >= 0 && below == 0) of[expert] = static_cast<Count>(before + __popc(peers));
    __syncwarp();
    return before + below;
  }
};

/// Kept is p.rounds.
template <int Kept>
__global__ void __launch_bounds__(1024) build_map(build_dispatch_map const f, map_plan const p) {
  using count = std::conditional_t<(Kept > 0), std::uint16_t, std::uint32_t>;
  constexpr int per_word = Kept > 0 ? 2 : 1;
  constexpr int lanes = map_plan::lanes, kept = Kept > 0 ? Kept : 1;
  int const warp = static_cast<int>(threadIdx.x) / lanes, lane = static_cast<int>(threadIdx.x) % lanes;
  int const words = p.words, parts = p.parts;
  std::uint32_t* const counts = ptx::dynamic_shared<std::uint32_t>();
  std::uint32_t* const sums = counts + p.warps * words;
  std::uint32_t* const block = sums + parts * words;
  std::int32_t* const base = reinterpret_cast<std::int32_t*>(block + words);
  std::int32_t* const carry = base + p.experts;

  // Slots are below 2³¹; what counts on behind the last of them is below 2³².
  std::uint32_t const slots = static_cast<std::uint32_t>(f.map.tokens * f.map.top_k);
  std::uint32_t const first =
      (blockIdx.x * static_cast<unsigned>(p.warps) + static_cast<unsigned>(warp)) * p.run + static_cast<unsigned>(lane);
  std::uint32_t const last =
      first - static_cast<unsigned>(lane) + p.run < slots ? first - static_cast<unsigned>(lane) + p.run : slots;  // of this warp
  auto const expert_of = [&](std::uint32_t i, std::uint32_t valid) {
    int const id = i < last ? f.ids[i] : -1;
    return i < valid && id >= 0 && id < p.experts ? id : -1;
  };

  int expert[kept], rank[kept];
  warp_counts<count> const mine{reinterpret_cast<count*>(counts + warp * words)};
  if constexpr (Kept > 0) {  // on their way while the counts are cleared
#pragma unroll
    for (int r = 0; r < kept; ++r) expert[r] = expert_of(first + static_cast<unsigned>(r * lanes), slots);
  }
  std::uint32_t valid = slots;
  if (f.valid_tokens != nullptr) {
    std::int64_t const v = std::int64_t{*f.valid_tokens} * f.map.top_k;
    valid = v < 0 ? 0 : v < slots ? static_cast<std::uint32_t>(v) : slots;
  }
#pragma unroll 4
  for (int i = lane; i < words; i += lanes) counts[warp * words + i] = 0;
  __syncwarp();
  if constexpr (Kept > 0) {
    unsigned peers[kept];
#pragma unroll
    for (int r = 0; r < kept; ++r) {
      if (first + static_cast<unsigned>(r * lanes) >= valid) expert[r] = -1;
      peers[r] = ::__match_any_sync(~0U, expert[r]);
    }
#pragma unroll
    for (int r = 0; r < kept; ++r) rank[r] = mine.add(expert[r], peers[r]);
  } else {
    for (std::uint32_t i = first; i - static_cast<unsigned>(lane) < last; i += lanes) {
      int const e = expert_of(i, valid);
      mine.add(e, ::__match_any_sync(~0U, e));
    }
  }
  __syncthreads();

  // Warp w sums tile w % tiles of part w / tiles; where there are more tiles than warps, tiles w, w + warps, … of all.
  int const tiles = p.tiles, step = tiles < p.warps ? tiles : p.warps, part = warp / step;
  int const from = part * p.warps_a_part, to = from + p.warps_a_part < p.warps ? from + p.warps_a_part : p.warps;
  bool const has_part = part < parts;
  for (int word = warp % step * lanes + lane; has_part && word < words; word += step * lanes) {
    std::uint32_t sum = 0;
#pragma unroll 4
    for (int w = from; w < to; ++w) sum += counts[w * words + word];
    sums[part * words + word] = sum;
  }
  __syncthreads();
  for (int word = warp % step * lanes + lane; has_part && word < words; word += step * lanes) {
    std::uint32_t before = 0;
#pragma unroll 4
    for (int s = 0; s < part; ++s) before += sums[s * words + word];
#pragma unroll 4
    for (int w = from; w < to; ++w) {
      std::uint32_t const own = counts[w * words + word];
      counts[w * words + word] = before;
      before += own;
    }
    if (part == parts - 1) block[word] = before;
  }
  int const blocks = static_cast<int>(gridDim.x);
  if (blocks > 1) {
    ptx::cluster_arrive();
    ptx::cluster_wait();
  } else {
    __syncthreads();
  }

  // A thread has one word of every block's counts; rows of an expert start where those of all before it end.
  std::int32_t total = 0;
  for (int start = 0; start < words; start += static_cast<int>(blockDim.x)) {
    int const word = start + static_cast<int>(threadIdx.x);
    std::int32_t all[per_word] = {}, earlier[per_word] = {};
    if (word < words) {
      std::uint32_t of_block[map_plan::most_blocks] = {block[word]};
      if (blocks > 1) {
#pragma unroll
        for (int b = 0; b < map_plan::most_blocks; ++b)
          of_block[b] = b < blocks ? ptx::read_shared_of(static_cast<unsigned>(b), block + word) : 0;
      }
#pragma unroll
      for (int b = 0; b < map_plan::most_blocks; ++b) {
#pragma unroll
        for (int h = 0; h < per_word; ++h) {
          std::int32_t const c = static_cast<std::int32_t>(per_word == 1 ? of_block[b]
                                                           : h == 0      ? of_block[b] & 0xFFFFu
                                                                         : of_block[b] >> 16);
          all[h] += c;
          if (b < static_cast<int>(blockIdx.x)) earlier[h] += c;
        }
      }
    }
    std::int32_t own = 0;
#pragma unroll
    for (int h = 0; h < per_word; ++h) own += all[h];
    std::int32_t up_to = own;  // and with the lanes, then the warps before
#pragma unroll
    for (int d = 1; d < lanes; d *= 2) {
      std::int32_t const other = ::__shfl_up_sync(~0U, up_to, d);
      if (lane >= d) up_to += other;
    }
    if (lane == lanes - 1) carry[warp] = up_to;
    __syncthreads();
    std::int32_t before = total, sum = total;
    int const left = (words - start + lanes - 1) / lanes, busy = left < p.warps ? left : p.warps;  // warps that have words
#pragma unroll 4
    for (int w = 0; w < busy; ++w) {
      if (w == warp) before = sum;
      sum += carry[w];
    }
    total = sum;
    before += up_to - own;
#pragma unroll
    for (int h = 0; h < per_word; ++h) {
      int const e = word * per_word + h;
      if (word < words && e < p.experts) {
        base[e] = before + earlier[h];
        if (blockIdx.x == 0) f.map.expert_offsets[e] = before;
        before += all[h];
      }
    }
    __syncthreads();  // the next words write carry, the rows below read base
  }
  if (blocks > 1) ptx::cluster_arrive_relaxed();  // no block leaves while others read its counts
  if (blockIdx.x == 0 && threadIdx.x == 0) f.map.expert_offsets[p.experts] = total;

  auto const place = [&](std::uint32_t slot, std::int32_t row) {
    if (slot >= last) return;
    f.map.slot_to_row[slot] = row;
    if (row >= 0) f.map.row_to_slot[row] = static_cast<std::int32_t>(slot);
  };
  if constexpr (Kept > 0) {
    std::int32_t row[kept];
#pragma unroll
    for (int r = 0; r < kept; ++r) row[r] = expert[r] >= 0 ? base[expert[r]] + static_cast<int>(mine.of[expert[r]]) + rank[r] : -1;
#pragma unroll
    for (int r = 0; r < kept; ++r) place(first + static_cast<unsigned>(r * lanes), row[r]);
  } else {
    for (std::uint32_t i = first; i - static_cast<unsigned>(lane) < last; i += lanes) {
      int const e = expert_of(i, valid), before = mine.add(e, ::__match_any_sync(~0U, e));  // counts on from the earlier warps
      place(i, e >= 0 ? base[e] + before : -1);
    }
  }
#pragma unroll 1
  for (std::uint32_t i = static_cast<std::uint32_t>(total) + blockIdx.x * blockDim.x + threadIdx.x; i < slots; i += gridDim.x * blockDim.x)
    f.map.row_to_slot[i] = -1;
  if (blocks > 1) ptx::cluster_wait();
}

/// Blocks that may work together: most_blocks, which every device of compute capability 9.0 or later can place, if the code was made for
/// one.
MOESAIC_CUDA_HOST inline int map_cluster() {
  cudaFuncAttributes a{};
  if (::cudaFuncGetAttributes(&a, reinterpret_cast<void const*>(build_map<1>)) != cudaSuccess) {
    static_cast<void>(::cudaGetLastError());
    return 1;
  }
  return a.ptxVersion >= 90 ? map_plan::most_blocks : 1;
}

template <int Kept>
MOESAIC_CUDA_HOST status start_map(cudaStream_t stream, build_dispatch_map const& f, map_plan const& p) {
  cudaLaunchAttribute cluster{};
  cluster.id = cudaLaunchAttributeClusterDimension;
  cluster.val.clusterDim.x = static_cast<unsigned>(p.blocks);
  cluster.val.clusterDim.y = cluster.val.clusterDim.z = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(p.blocks));
  config.blockDim = dim3(static_cast<unsigned>(p.warps * map_plan::lanes));
  config.dynamicSmemBytes = static_cast<std::size_t>(p.shared_bytes());
  config.stream = stream;
  config.attrs = &cluster;
  config.numAttrs = p.blocks > 1 ? 1 : 0;
  return status_of(::cudaLaunchKernelEx(&config, build_map<Kept>, f, p));
}

}  // namespace detail

template <>
struct launcher<build_dispatch_map> {
  MOESAIC_CUDA_HOST static status launch(cudaStream_t stream, std::int64_t n, build_dispatch_map const& f) {
    if (n <= 0) return {};
    std::int64_t const slots = f.map.tokens * f.map.top_k;
    detail::map_plan const p = detail::map_plan::of(slots, f.map.experts, slots > 4096 ? detail::map_cluster() : 1);
    if (p.warps == 0) return start_any(stream, n, f);
    if (p.rounds == 1) return detail::start_map<1>(stream, f, p);
    if (p.rounds == 2) return detail::start_map<2>(stream, f, p);
    if (p.rounds == 4) return detail::start_map<4>(stream, f, p);
    if (p.rounds == 8) return detail::start_map<8>(stream, f, p);
    return detail::start_map<0>(stream, f, p);
  }
};

}  // namespace moesaic::inline MOESAIC_ABI::cuda
