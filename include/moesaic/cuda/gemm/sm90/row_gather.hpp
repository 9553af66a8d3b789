// Rows of x that the GEMM gathers itself: they are where their tokens are, quantised once, and warps of the producer bring them into the
// stages, since TMA on sm_90 has no way to. 16 bytes at a time, to where TMA's 128-byte swizzle would have put them.
#pragma once

#include <cstdint>

#include <moesaic/cuda/gemm/sm90/tile.hpp>
#include <moesaic/cuda/ptx/cp_async.hpp>
#include <moesaic/cuda/ptx/mbarrier.hpp>
#include <moesaic/num/block_scale.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::sm90 {

/// Row r of the GEMM is row token(r) of x: of the first shared_rows r itself, else of what the map says. Codes 16-byte aligned, a row's
/// `cols` a multiple of 128.
struct gathered_rows {
  std::uint8_t const* codes;
  float const* scales;
  std::int64_t cols, scale_stride;
  std::int32_t const* row_to_slot;
  int top_k;
  std::int32_t shared_rows;

  __device__ std::int32_t token(std::int32_t row) const { return row < shared_rows ? row : row_to_slot[row - shared_rows] / top_k; }
};

/// A tile whose producer gathers: it needs registers for it.
template <class Tile>
struct gathering : Tile {
  static constexpr int producer_registers = 56, math_registers = 224;
};

namespace detail {

/// Which 16 bytes of a tile's rows a thread brings: of row `row(j)`, chunk number `chunk`, for j < rows_each; so eight lanes have a row's
/// 128 bytes. And which scale: of row thread, thread + threads, …
template <int Rows, int Warps>
struct gather_share {
  static constexpr int threads = 32 * Warps, rows_each = Rows * 8 / threads, scales_each = (Rows + threads - 1) / threads;
  static_assert(Rows * 8 % threads == 0);
  int thread;

  MOESAIC_HD constexpr int row(int j) const { return j * (threads / 8) + thread / 8; }
  MOESAIC_HD constexpr int chunk() const { return thread % 8; }
  /// Bytes behind the stage's first row.
  MOESAIC_HD constexpr int to(int j) const { return row(j) * scale_block + (chunk() ^ row(j) % 8) * 16; }
  MOESAIC_HD constexpr int scale_row(int j) const { return j * threads + thread; }
};

/// Brings the rows of one tile after the other, stage by stage; all threads of Warps warps call its members together. A stage's rows have
/// come when each warp has arrived at its full barrier, which is `lag` stages later, or in finish().
template <class Tile, int Warps>
class row_gather {
 public:
  static constexpr int lag = Tile::stages > 2 ? 2 : Tile::stages - 1;

  __device__ row_gather(gathered_rows const& x, std::uint64_t* full, int thread) : x_(x), full_(full), share_{thread} {}

  /// Rows [row, row + rows_left) of the GEMM; those behind them are whatever the last of them is.
  __device__ void begin_tile(std::int32_t row, int rows_left) {
    auto const token = [&](int r) { return x_.token(row + (r < rows_left ? r : rows_left - 1)); };
#pragma unroll
    for (int j = 0; j < share::rows_each; ++j) token_[j] = token(share_.row(j));
#pragma unroll
    for (int j = 0; j < share::scales_each; ++j)
      if (share_.scale_row(j) < Tile::rows) scale_token_[j] = token(share_.scale_row(j));
  }
  /// Block kb of the tile's rows, to a stage that is empty.
  __device__ void bring(char* rows, char* scales, int kb) {
#pragma unroll
    for (int j = 0; j < share::rows_each; ++j)
      ptx::cp_async_16(rows + share_.to(j), x_.codes + token_[j] * x_.cols + kb * scale_block + share_.chunk() * 16);
#pragma unroll
    for (int j = 0; j < share::scales_each; ++j)
      if (share_.scale_row(j) < Tile::rows)
        ptx::cp_async_4(scales + share_.scale_row(j) * 4, x_.scales + kb * x_.scale_stride + scale_token_[j]);
    ptx::cp_async_commit();
    if (++under_way_ <= lag) return;
    ptx::cp_async_wait<lag>();
    arrive();
  }
  __device__ void finish() {
    ptx::cp_async_wait<0>();
    while (under_way_ > 0) arrive();
  }

 private:
  using share = gather_share<Tile::rows, Warps>;
  gathered_rows const& x_;
  std::uint64_t* full_;
  share share_;
  std::int32_t token_[share::rows_each], scale_token_[share::scales_each];
  int under_way_ = 0;
  pipeline_place oldest_{};

  __device__ void arrive() {
    ptx::fence_for_async_proxy();
    __syncwarp();
    if (share_.thread % 32 == 0) ptx::mbarrier_arrive(full_ + oldest_.stage);
    oldest_.next(Tile::stages);
    --under_way_;
  }
};

}  // namespace detail

}  // namespace moesaic::inline MOESAIC_ABI::cuda::sm90
