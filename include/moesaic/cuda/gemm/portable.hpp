// Which portable kernel multiplies what. All of them that may take the same operands give the same bits, so the choice is one of speed
// alone: by what the host knows, the number of rows and of experts, and never by how the rows are shared out.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include <moesaic/config/layer.hpp>
#include <moesaic/core/status.hpp>
#include <moesaic/cuda/gemm/arguments.hpp>
#include <moesaic/cuda/gemm/portable_fma.hpp>
#include <moesaic/cuda/gemm/portable_panel.hpp>
#include <moesaic/cuda/gemm/portable_skinny.hpp>
#include <moesaic/cuda/gemm/tile_walk.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

/// Whether the step up of L is one portable kernel.
template <class L>
inline constexpr bool fuses_portable_up = is_one_bf16_term<L::policy.weights>;
/// Whether L's shared expert is a group of the portable kernels' step up and step down.
template <class L>
inline constexpr bool folds_portable_shared = fuses_portable_up<L>&& shared_is_like_routed<L>;

enum class portable_kernel { skinny_16x8, skinny_16x32, skinny_32x64, panel_64x128 };

/// The largest tiles that the experts' average fills and that give three in four multiprocessors something to do. `rows`: the routed ones.
/// A shared expert has more rows than the others have, and narrow tiles read its weights several times, but one expert's from L2.
constexpr portable_kernel choose_kernel(std::int64_t rows, int experts, std::int64_t n, int multiprocessors) {
  std::int64_t const average = ceil_div(rows, experts);
  auto const enough = [&](int tile_rows, int tile_columns) {
    return most_tiles(rows, experts, tile_rows, ceil_div(n, tile_columns)) * 4 >= std::int64_t{multiprocessors} * 3;
  };
  if (average > 48 && enough(64, 128)) return portable_kernel::panel_64x128;
  if (average > 16 && enough(32, 64)) return portable_kernel::skinny_32x64;
  if (enough(16, 32)) return portable_kernel::skinny_16x32;
  return portable_kernel::skinny_16x8;
}

#pragma GCC visibility push(hidden)  // see cuda/launch.hpp

/// The grouped GEMM for every GPU from compute capability 8.0 on: rows f32_rows or quantised, weights f32, bf16 or E4M3, any shape. As they
/// are (gemm_arguments), or two and the activation as the step up in one launch (up_arguments, of bf16 and E4M3 weights): the bits of the
/// stages, since gate's sums and up's are those of the GEMM by itself.
///
/// fp32 weights are multiplied by fp32 fma, in semantics/gemm.hpp's order. All others by mma.sync, products exact (fp32 rows are three bf16
/// terms, E4M3 and bf16 one), sums of 16 columns cut by the hardware, those added in fp32, sums of 128 columns scaled and added by fma.
/// Where the tensor cores multiply E4M3 (8.9, 12.x) quantised rows and E4M3 weights stay codes: sums of 32 columns, of which the hardware
/// keeps some 14 bits. The same bits for a row in any batch and in every run, on one architecture.
template <class Arguments>
status launch_portable_gemm(cudaStream_t stream, int multiprocessors, Arguments const& g) {
  constexpr int pieces = Arguments::pieces;
  if constexpr (!is_one_bf16_term<Arguments::format>) {
    return launch_fma_gemm(stream, multiprocessors, g);
  } else {
    switch (choose_kernel(g.out.rows - g.shared_rows, g.w.experts, pieces * g.w.n, multiprocessors)) {
      case portable_kernel::skinny_16x8:  // of two matrices the narrowest tile has the 32 weight rows of the next
        return launch_skinny_gemm<skinny_tile<1, pieces, pieces>>(stream, multiprocessors, g);
      case portable_kernel::skinny_16x32: return launch_skinny_gemm<skinny_tile<1, 4 / pieces, pieces>>(stream, multiprocessors, g);
      case portable_kernel::skinny_32x64: return launch_skinny_gemm<skinny_tile<2, 8 / pieces, pieces>>(stream, multiprocessors, g);
      default: return launch_panel_gemm(stream, multiprocessors, g);
    }
  }
}

#pragma GCC visibility pop

}  // namespace moesaic::inline MOESAIC_ABI::cuda
