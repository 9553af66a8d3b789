// The Hopper router GEMM: logits = x · Wᵀ of bf16 by wgmma. A cluster of eight CTAs makes each tile, every CTA from its share of the
// columns; the shares' sums meet through distributed shared memory. So few tokens stream the weights through many SMs, many tokens run on
// tiles that are large both ways, and all add in one order.
#pragma once

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <cstdint>

#include <moesaic/config/weights.hpp>
#include <moesaic/cuda/gemm/sm90/router_tile.hpp>
#include <moesaic/cuda/gemm/sm90/tile.hpp>
#include <moesaic/cuda/launch.hpp>
#include <moesaic/cuda/ptx/cluster.hpp>
#include <moesaic/cuda/ptx/dependent_launch.hpp>
#include <moesaic/cuda/ptx/mbarrier.hpp>
#include <moesaic/cuda/ptx/tma.hpp>
#include <moesaic/cuda/ptx/warpgroup.hpp>
#include <moesaic/cuda/ptx/wgmma.hpp>
#include <moesaic/cuda/tensor_map.hpp>
#include <moesaic/num/bf16.hpp>
#include <moesaic/tune/cuda_gemm.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::sm90 {

struct router_arguments {
  CUtensorMap x, w;
  float* out;
  std::int64_t stride;
  std::int64_t rows;
  int n, n_tiles, blocks;
  int box_rows;  ///< of x: a tile's, or where there are fewer rows, those
  bool vectors;  ///< rows of out can be stored 16 bytes at a time
};

namespace detail {

template <class Tile>
struct router_gemm {
  static constexpr int pieces = Tile::pieces, half = Tile::piece_columns / 2, stages = Tile::stages;

  router_arguments const& p;
  char* shared;
  std::uint64_t* full;
  std::uint64_t* empty;
  int rank, cluster;

  __device__ std::int64_t first_row() const { return std::int64_t{cluster / p.n_tiles} * Tile::rows; }
  __device__ int first_column() const { return cluster % p.n_tiles * Tile::columns; }

  __device__ void produce() const {
    std::uint64_t const keep = ptx::evict_last();
    router_share const share = router_share_of(p.blocks, rank);
    auto const m0 = static_cast<std::int32_t>(first_row());
    pipeline_place pipe;
    for (int b = 0; b < share.count; ++b, pipe.next(stages)) {
      ptx::mbarrier_wait(empty + pipe.stage, pipe.parity ^ 1U);
      std::uint64_t* const bar = full + pipe.stage;
      ptx::mbarrier_arrive_expect(bar, static_cast<std::uint32_t>(Tile::w_bytes + p.box_rows * router_box_bytes));
      int const at = (share.first + b) * router_box_bytes;
      ptx::tma_load(shared + Tile::w_at(pipe.stage), &p.w, at, first_column(), bar, keep);
      ptx::tma_load(shared + Tile::x_at(pipe.stage), &p.x, at, m0, bar, keep);
    }
  }

  /// total += the products of `Blocks` blocks, one after the other. wgmma cuts where fp32 rounds, so a block's sum starts from zero and is
  /// added here. Rows of x that do not exist are zeros or whatever lay there; nobody stores what they give.
  template <int Blocks>
  __device__ void add_blocks(float (&total)[pieces][half], pipeline_place& pipe, std::uint32_t x_low, std::uint32_t w_low) const {
    constexpr std::uint64_t high = ptx::descriptor_high;
    constexpr std::uint32_t stage_step = Tile::stage_bytes >> 4, piece_step = Tile::piece_columns * router_box_bytes >> 4;
    int stage[Blocks];
#pragma unroll
    for (int g = 0; g < Blocks; ++g) {
      stage[g] = pipe.stage;
      ptx::mbarrier_wait(full + pipe.stage, pipe.parity);
      pipe.next(stages);
    }
#pragma unroll
    for (int i = 0; i < pieces; ++i) {
      float sum[Blocks][half];
      std::uint32_t x[Blocks], w[Blocks];
#pragma unroll
      for (int g = 0; g < Blocks; ++g) {
        ptx::wgmma_touch(sum[g]);
        std::uint32_t const at = static_cast<std::uint32_t>(stage[g]) * stage_step;
        x[g] = __shfl_sync(0xffffffffU, x_low + at, 0);
        w[g] = __shfl_sync(0xffffffffU, w_low + at + static_cast<std::uint32_t>(i) * piece_step, 0);
      }
      ptx::wgmma_fence();
#pragma unroll
      for (int g = 0; g < Blocks; ++g)
#pragma unroll
        for (int k = 0; k < 4; ++k)
          ptx::wgmma_bf16<Tile::piece_columns>::issue(sum[g], high | (x[g] + 2U * static_cast<unsigned>(k)),
                                                      high | (w[g] + 2U * static_cast<unsigned>(k)), k);
      ptx::wgmma_commit();
      ptx::wgmma_wait<0>();
#pragma unroll
      for (int g = 0; g < Blocks; ++g) ptx::wgmma_touch(sum[g]);
      if (i + 1 == pieces && threadIdx.x % 32 == 0) {
#pragma unroll
        for (int g = 0; g < Blocks; ++g) ptx::mbarrier_arrive(empty + stage[g]);
      }
#pragma unroll
      for (int g = 0; g < Blocks; ++g)
#pragma unroll
        for (int j = 0; j < half; ++j) total[i][j] = __fadd_rn(total[i][j], sum[g][j]);
    }
  }

  /// This CTA's share of the sums, left in its shared memory.
  __device__ void multiply_all() const {
    int const thread = static_cast<int>(threadIdx.x), group = thread / 128;
    std::uint32_t const x_low = ptx::descriptor_low(ptx::shared_address(shared + Tile::x_at(0) + group * 64 * router_box_bytes));
    std::uint32_t const w_low = ptx::descriptor_low(ptx::shared_address(shared + Tile::w_at(0)));
    float total[pieces][half];
#pragma unroll
    for (int i = 0; i < pieces; ++i)
#pragma unroll
      for (int j = 0; j < half; ++j) total[i][j] = 0.0F;

    int left = router_share_of(p.blocks, rank).count;
    pipeline_place pipe;
    if constexpr (Tile::blocks_at_once > 1)
      for (; left >= Tile::blocks_at_once; left -= Tile::blocks_at_once) add_blocks<Tile::blocks_at_once>(total, pipe, x_low, w_low);
    for (; left > 0; --left) add_blocks<1>(total, pipe, x_low, w_low);

    ptx::named_barrier(1, Tile::math_threads);  // nobody reads the pipeline's stages any more
    auto* const sums = reinterpret_cast<float*>(shared);
#pragma unroll
    for (int i = 0; i < pieces; ++i)
#pragma unroll
      for (int j = 0; j < half; j += 2) {
        router_element const e = router_fragment(thread % 128, j);
        *reinterpret_cast<float2*>(sums + (group * 64 + e.row) * Tile::pitch + i * Tile::piece_columns + e.column) = {total[i][j],
                                                                                                                      total[i][j + 1]};
      }
  }

  /// Adds what the cluster's CTAs have left, in the order of their shares, and stores this CTA's part of the tile.
  __device__ void store() const {
    std::int64_t const m0 = first_row();
    int const n0 = first_column(), shares = router_shares(p.blocks);
    int const rows = p.rows - m0 < Tile::rows ? static_cast<int>(p.rows - m0) : Tile::rows;
    auto const* const sums = reinterpret_cast<float const*>(shared);
    for (int i = router_first_quad<Tile>(rank, static_cast<int>(threadIdx.x)); i < rows * (Tile::columns / 4);
         i += router_quad_step<Tile>) {
      router_element const e = router_quad<Tile>(i);
      if (n0 + e.column >= p.n) continue;
      float4 part[router_ranks];
#pragma unroll
      for (int r = 0; r < router_ranks; ++r)
        if (r < shares)
          part[r] = ptx::read_shared_of(static_cast<unsigned>(r), reinterpret_cast<float4 const*>(sums + e.row * Tile::pitch + e.column));
      float4 v = part[0];
#pragma unroll
      for (int r = 1; r < router_ranks; ++r)
        if (r < shares) v = {__fadd_rn(v.x, part[r].x), __fadd_rn(v.y, part[r].y), __fadd_rn(v.z, part[r].z), __fadd_rn(v.w, part[r].w)};
      float* const to = p.out + (m0 + e.row) * p.stride + n0 + e.column;
      if (p.vectors) {
        *reinterpret_cast<float4*>(to) = v;
      } else {
        int const left = p.n - n0 - e.column;
        to[0] = v.x;
        if (left > 1) to[1] = v.y;
        if (left > 2) to[2] = v.z;
        if (left > 3) to[3] = v.w;
      }
    }
  }
};

}  // namespace detail

/// Clusters of router_ranks CTAs, one cluster a tile; Tile::threads threads, Tile::shared_bytes bytes of dynamic shared memory.
template <class Tile>
__global__ void __launch_bounds__(Tile::threads, 1) router_gemm_kernel([[maybe_unused]] __grid_constant__ router_arguments const p) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  char* const shared = ptx::dynamic_shared<char>();
  auto* const full = reinterpret_cast<std::uint64_t*>(shared + Tile::barriers_at);
  auto* const empty = full + Tile::stages;
  if (threadIdx.x == 0) {
    ptx::prefetch_tensor_map(&p.x);
    ptx::prefetch_tensor_map(&p.w);
    for (int s = 0; s < Tile::stages; ++s) {
      ptx::mbarrier_init(full + s, 1);
      ptx::mbarrier_init(empty + s, Tile::math_threads / 32);
    }
    ptx::fence_mbarrier_init();
  }
  __syncthreads();
  ptx::follow_dependency();
  detail::router_gemm<Tile> const work{
      p, shared, full, empty, static_cast<int>(blockIdx.x) % router_ranks, static_cast<int>(blockIdx.x) / router_ranks};
  if (threadIdx.x < Tile::math_threads) {
    if constexpr (Tile::pieces == 2) ptx::take_registers<Tile::math_registers>();
    work.multiply_all();
    ptx::cluster_arrive();
    ptx::cluster_wait();
    work.store();
  } else {
    if constexpr (Tile::pieces == 2) ptx::give_registers<Tile::producer_registers>();
    if (threadIdx.x / 32 == Tile::math_threads / 32 && ptx::elect_one()) work.produce();
    __syncwarp();
    ptx::cluster_arrive();
    ptx::cluster_wait();
  }
  ptx::cluster_arrive_relaxed();  // a CTA's shared memory stays until all have read it
  ptx::cluster_wait();
#endif
}

#pragma GCC visibility push(hidden)  // see cuda/launch.hpp

template <class Tile>
status launch_router_gemm(cudaStream_t stream, matrix_view<bf16 const> const& x, bf16 const* w, std::int64_t w_stride,
                          matrix_view<float> const& out) {
  static_assert(Tile::shared_bytes <= shared_memory_limit);
  auto const bytes = [](std::int64_t elements) { return elements * 2; };
  router_arguments a{};
  a.box_rows = out.rows < Tile::rows ? static_cast<int>(align_up(out.rows, 8)) : Tile::rows;
  if (status const s =
          make_tensor_map("a.rows", {x.data, out.rows, bytes(x.cols), bytes(x.stride), 1, a.box_rows, router_box_bytes, true}, a.x);
      !s)
    return s;
  if (status const s =
          make_tensor_map("w.codes", {w, out.cols, bytes(x.cols), bytes(w_stride), 1, Tile::columns, router_box_bytes, true}, a.w);
      !s)
    return s;
  a.out = out.data;
  a.stride = out.stride;
  a.rows = out.rows;
  a.n = static_cast<int>(out.cols);
  a.n_tiles = static_cast<int>(ceil_div(out.cols, Tile::columns));
  a.blocks = static_cast<int>(x.cols / router_block);
  a.vectors = out.cols % 4 == 0 && out.stride % 4 == 0 && reinterpret_cast<std::uintptr_t>(out.data) % 16 == 0;
  if (status const s = allow_shared(router_gemm_kernel<Tile>, Tile::shared_bytes); !s) return s;
  return start(stream,
               {.blocks = static_cast<unsigned>(ceil_div(out.rows, Tile::rows) * a.n_tiles * router_ranks),
                .threads = Tile::threads,
                .shared_bytes = Tile::shared_bytes,
                .cluster = router_ranks,
                .overlaps = true},
               router_gemm_kernel<Tile>, a);
}

/// Whether multiply_router takes these operands: one matrix, k a multiple of 64, rows of 16-byte aligned bf16, and an address of w that the
/// host knows. Others run on the portable kernels.
inline bool takes_router(matrix_view<bf16 const> const& x, weight_matrices<weight_format::bf16> const& w) {
  std::int64_t const w_stride = w.row_stride != 0 ? w.row_stride : w.k;
  return w.experts == 1 && w.codes.table == nullptr && w.n > 0 && w.n < 65536 && x.cols == w.k && x.rows < 0x7fff'ff00 &&
         w.k < 0x1000'0000 && router_takes(w.k, x.stride, reinterpret_cast<std::uintptr_t>(x.data)) &&
         router_takes(w.k, w_stride, reinterpret_cast<std::uintptr_t>(w.codes.base));
}

/// out [T, n] fp32 = x [T, k] bf16 · w [n, k] bf16 ᵀ, all row-major; operands that takes_router takes. Products are exact; sums of 64
/// columns are wgmma's, those added in fp32, ascending, inside each of eight shares of the columns, and the shares in fp32, ascending. That
/// order depends on k alone: a row's bits depend neither on the other rows nor on the tile.
inline status multiply_router(cudaStream_t stream, int multiprocessors, matrix_view<bf16 const> const& x,
                              weight_matrices<weight_format::bf16> const& w, matrix_view<float> const& out) {
  if (out.rows == 0) return {};
  std::int64_t const w_stride = w.row_stride != 0 ? w.row_stride : w.k;
  auto const by = [&]<class Tile>(Tile) { return launch_router_gemm<Tile>(stream, x, w.codes.base, w_stride, out); };
  // One less than SMs allow: clusters lie in one GPC each, and not all of these are a multiple (15 fit the 132 SMs of an H200).
  switch (tune::router_tile_for(out.rows, out.cols, multiprocessors / router_ranks - 1)) {
    case tune::hopper_router_tile::tokens_64_experts_32: return by(router_tile<64, 32>{});
    case tune::hopper_router_tile::tokens_64_experts_64: return by(router_tile<64, 64>{});
    case tune::hopper_router_tile::tokens_128_experts_64: return by(router_tile<128, 64>{});
    case tune::hopper_router_tile::tokens_128_experts_128: return by(router_tile<128, 128>{});
    case tune::hopper_router_tile::tokens_128_experts_256: break;
  }
  return by(router_tile<128, 256>{});
}

#pragma GCC visibility pop

}  // namespace moesaic::inline MOESAIC_ABI::cuda::sm90
