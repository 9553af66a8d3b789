// The Hopper grouped GEMM behind one call: operands, tile, launch.
#pragma once

#include <cuda_runtime_api.h>

#include <moesaic/cuda/gemm/sm90/launch.hpp>
#include <moesaic/tune/cuda_gemm.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::sm90 {

/// The experts' weights, and the shared expert's where its rows come first: shared_rows of them.
template <int Matrices>
struct gemm_weights {
  weight_operand const* routed[Matrices];
  weight_operand const* shared[Matrices];  ///< null without shared_rows
  std::int64_t shared_rows = 0;
};

/// What multiply() is told beside its operands.
struct gemm_shape {
  std::int32_t const* expert_offsets;  ///< null: one expert, all rows
  int experts;
  std::int64_t n, k;
  bool reads_early;  ///< see launch_row_gemm
};

/// What a GEMM reads rows by: maps of rows that lie in order, or the gathered ones as they are.
template <class Scale>
status set_rows(quantized_rows<Scale> const& x, int code_rows, int scale_rows, row_operand& to) {
  return make_row_operand(x, code_rows, scale_rows, to);
}
inline status set_rows(gathered_rows const& x, int, int, gathered_rows& to) { return to = x, status{}; }

/// Epilogue::matrices weights times `rows` rows, into the epilogue: those of x, quantized_rows in order, or what gathered_rows gathers. n
/// and k are multiples of 128. At most most_experts experts. Scales of rows: float, or e8m0_as_f32, which is read as one.
template <class X, class Epilogue>
status multiply(cudaStream_t stream, X const& x, std::int64_t rows, gemm_weights<Epilogue::matrices> const& w, gemm_shape const& shape,
                Epilogue const& epilogue) {
  constexpr int most_experts = 1024;  // the schedule lies in shared memory
  constexpr bool gathers = std::is_same_v<X, gathered_rows>;
  if (rows == 0) return {};
  if (shape.experts > most_experts) return {errc::out_of_range, "weights", "experts", shape.experts, most_experts};
  gemm_arguments<Epilogue, std::conditional_t<gathers, gathered_rows, row_operand>> a{};
  for (int i = 0; i < Epilogue::matrices; ++i) {
    a.w[i] = *w.routed[i];
    if (w.shared_rows > 0) a.shared[i] = *w.shared[i];
  }
  a.tiles = {shape.expert_offsets, static_cast<std::int32_t>(rows), static_cast<std::int32_t>(w.shared_rows), shape.experts, 0};
  a.k_blocks = static_cast<int>(shape.k / scale_block);
  a.reads_early = shape.reads_early;
  a.epilogue = epilogue;
  auto const by_rows = [&]<class Tile>(Tile) {
    a.tiles.n_tiles = static_cast<int>(shape.n / (Epilogue::matrices == 2 ? scale_block : Tile::columns));
    if (status const s = set_rows(x, Tile::rows, Tile::scale_rows, a.x); !s) return s;
    return launch_row_gemm<Tile>(stream, a);
  };
  auto const by_weights = [&]<class Tile>(Tile) {
    a.tiles.n_tiles = static_cast<int>(shape.n / Tile::columns);
    if (status const s = set_rows(x, Tile::rows, Tile::scale_rows, a.x); !s) return s;
    return launch_weight_gemm<Tile>(stream, a);
  };
  constexpr int matrices = Epilogue::matrices;
  std::int64_t const routed = rows - w.shared_rows;
  bool const few = tune::few_rounds(routed, shape.experts);
  switch (tune::tile_for(routed, shape.experts)) {
    case tune::hopper_tile::tokens_16:
      if (few) return by_weights(short_decode<16, matrices>{});
      return by_weights(decode<16, matrices>{});
    case tune::hopper_tile::tokens_32:
      if (few) return by_weights(short_decode<32, matrices>{});
      return by_weights(decode<32, matrices>{});
    case tune::hopper_tile::tokens_64: return by_weights(decode<64, matrices>{});
    case tune::hopper_tile::rows_128: break;
  }
  if constexpr (matrices == 1)
    if (shape.n % prefill::columns != 0) return by_rows(std::conditional_t<gathers, gathering<narrow_prefill>, narrow_prefill>{});
  return by_rows(std::conditional_t<gathers, gathering<prefill>, prefill>{});
}

}  // namespace moesaic::inline MOESAIC_ABI::cuda::sm90
