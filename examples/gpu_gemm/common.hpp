// The problem that all steps solve, and what of the solution does not change from step to step: the tile's place, the products of one K
// block, their promotion, the store.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>

#include <moesaic/cuda/gemm/sm90/epilogue.hpp>
#include <moesaic/cuda/gemm/sm90/launch.hpp>
#include <moesaic/cuda/gemm/sm90/operands.hpp>
#include <moesaic/cuda/gemm/sm90/tile.hpp>
#include <moesaic/cuda/gemm/tile_walk.hpp>
#include <moesaic/cuda/ptx/mbarrier.hpp>
#include <moesaic/cuda/ptx/tma.hpp>
#include <moesaic/cuda/ptx/warpgroup.hpp>
#include <moesaic/cuda/ptx/wgmma.hpp>

namespace stairs {

namespace ptx = moesaic::cuda::ptx;
namespace sm90 = moesaic::cuda::sm90;

/// The gate and up matrices of 8 of DeepSeek-V3's experts, one below the other: out = x · W_eᵀ, rows sorted by expert, as many for each.
constexpr int experts = 8, n = 4096, k = 7168, block = 128, k_blocks = k / block, tile_rows = 128;

struct problem {
  moesaic::quantized_rows<float> x;       // E4M3 [rows, k], a scale for 1 x 128; rows a multiple of experts * tile_rows
  std::uint8_t const* w;                  // E4M3 [experts, n, k]
  float const* w_scales;                  // [experts, n / 128, k / 128]
  std::int32_t const* expert_offsets;     // [experts + 1]
  moesaic::bf16* out;                     // [rows, n]: what steps 1 to 4 write
  moesaic::quantized_rows<float> hidden;  // [rows, n / 2]: what step 5 writes
  int multiprocessors;

  int rows() const { return static_cast<int>(x.rows); }
  int tiles(int columns) const { return rows() / tile_rows * (n / columns); }
};

/// A step makes its tensor maps once, and a function that launches its kernel.
using launch = std::function<void(cudaStream_t)>;
launch naive(problem const&);
launch tma(problem const&);
launch pipeline(problem const&);
launch promotion(problem const&);
launch fused(problem const&);

inline void ok(cudaError_t e, char const* what) {
  if (e != cudaSuccess) throw std::runtime_error(std::string(what) + ": " + cudaGetErrorName(e) + ": " + cudaGetErrorString(e));
}
inline void ok(moesaic::status const& s) {
  if (!s) throw std::runtime_error(moesaic::describe(s).c_str());
}

/// A tile of the output: rows [row, row + 128) of one expert, columns from `column` on. Neighbours in time are neighbours in space, see
/// place_of: what one tile has brought into the L2 cache, the next ones find there.
struct tile {
  int expert, row, column;
};
template <int Columns>
__host__ __device__ constexpr tile tile_at(int index, int rows) {
  constexpr int n_tiles = n / Columns, strip = 2048 / Columns;
  auto const place = moesaic::cuda::place_of(index, rows / tile_rows, n_tiles, strip);
  return {place.m / (rows / tile_rows / experts), place.m * tile_rows, place.n * Columns};
}

/// What one K block, 128 columns of x and of W, needs in shared memory, codes as wgmma wants them: rows of 128 bytes, swizzled, the first
/// at a multiple of 1024 bytes.
template <int Pieces>
struct alignas(1024) stage {
  char a[tile_rows * block];
  char b[Pieces][block * block];
  float a_scales[tile_rows];
  static constexpr int bytes = tile_rows * block + Pieces * block * block + tile_rows * 4;
};

/// A descriptor that the compiler knows to be the same in all lanes: wgmma reads it from uniform registers.
__device__ inline std::uint64_t descriptor(void const* tile) {
  std::uint64_t const d = ptx::wgmma_descriptor(tile);
  return d >> 32 << 32 | __shfl_sync(0xffffffffU, static_cast<std::uint32_t>(d), 0);
}

/// sum [64, 128] = a [64, 128] · b [128, 128]ᵀ, by a warpgroup. Starts four wgmmas of 32 columns each, and does not wait for them.
__device__ inline void start_products(float (&sum)[64], void const* a, void const* b) {
  std::uint64_t const of_a = descriptor(a), of_b = descriptor(b);
  ptx::wgmma_touch(sum);
  ptx::wgmma_fence();
#pragma unroll
  for (int i = 0; i < 4; ++i)
    ptx::wgmma_e4m3<block>::issue(sum, of_a + 2U * static_cast<unsigned>(i), of_b + 2U * static_cast<unsigned>(i), i);
  ptx::wgmma_commit();
}
__device__ inline void finish_products(float (&sum)[64]) {
  ptx::wgmma_wait<0>();
  ptx::wgmma_touch(sum);
}

/// total += sum · scale in fp32. A thread's sums lie in two rows, eight apart, two sums of the one, two of the other, and so on.
__device__ inline void promote(float (&total)[64], float const (&sum)[64], float scale, float scale_8_below) {
#pragma unroll
  for (int i = 0; i < 64; ++i) total[i] = __fmaf_rn(sum[i], i / 2 % 2 == 0 ? scale : scale_8_below, total[i]);
}

/// Which row of the 64 a thread's first sums are in.
__device__ inline int first_row_of_64() { return static_cast<int>(threadIdx.x) % 128 / 32 * 16 + static_cast<int>(threadIdx.x) % 32 / 4; }

/// A warp's 16 rows of a tile, the first of them `row` of the output, rounded to bf16, through 2304 bytes of shared memory of its own.
constexpr int staging_bytes = sm90::row_tile<1, 1>::staging_bytes_per_warp;
template <int Pieces>
__device__ inline void store(float const (&total)[Pieces][64], moesaic::bf16* out, char* staging, int row, int column) {
  sm90::store_bf16{out, n}.rows(total, staging, {row, 16, column, static_cast<int>(threadIdx.x) % 32});
}

/// What the kernels from step 2 on are given: tensor maps of the codes and of x's scales.
struct operands {
  sm90::row_operand x;
  sm90::weight_operand w;
  moesaic::bf16* out;
  int rows;

  __device__ float const* w_scales(tile const& t, int piece) const { return w.scales[t.expert] + (t.column / block + piece) * k_blocks; }
};

inline operands make_operands(problem const& p) {
  operands o{};
  ok(sm90::make_row_operand(p.x, tile_rows, tile_rows, o.x));
  sm90::e4m3_matrices w;
  w.experts = experts;
  w.n = n;
  w.k = k;
  w.codes = {p.w, std::int64_t{n} * k};
  w.scales = {p.w_scales, std::int64_t{n / block} * k_blocks};
  ok(sm90::make_weight_operand(w, nullptr, o.w));  // experts one below the other: one map for all
  o.out = p.out;
  o.rows = p.rows();
  return o;
}

/// Asks the copy engine for K block kb of a tile; one thread does. `full` then counts the bytes.
template <int Pieces>
__device__ inline void load(stage<Pieces>& to, operands const& o, tile const& t, int kb, std::uint64_t* full, std::uint64_t policy) {
  ptx::mbarrier_arrive_expect(full, stage<Pieces>::bytes);
  ptx::tma_load(to.a, &o.x.codes, kb * block, t.row, full, policy);
  ptx::tma_load(to.a_scales, &o.x.scales, t.row, kb, full, policy);
#pragma unroll
  for (int i = 0; i < Pieces; ++i)
    ptx::tma_load(to.b[i], o.w.map(t.expert), kb * block, o.w.row(t.expert, t.column + i * block), full, policy);
}

}  // namespace stairs
