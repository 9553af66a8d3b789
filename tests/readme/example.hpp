// The README's example: scripts/docs.sh copies it there.
#pragma once

// [moe]
#include <moesaic/kokkos.hpp>

using layer = moesaic::layer<moesaic::models::deepseek_v3>;  // a model is a type; its kernels are made from it
using backend = moesaic::kokkos::on<Kokkos::OpenMP>;

// y = Σ_k w_k · expert_k(x) + shared expert(x) + x for any number of tokens. The caller owns all memory.
moesaic::status moe(backend ctx, moesaic::layer_weights<layer> const& checkpoint, moesaic::memory packed, moesaic::memory workspace,
                    moesaic::matrix_view<float const> x, moesaic::matrix_view<float> y) {
  moesaic::prepared_weights<backend, layer> weights;
  if (auto s = moesaic::prepare<layer>(ctx, checkpoint, packed, weights); !s) return s;  // once per load; prepared_bytes<layer>(ctx)
  return moesaic::forward<layer>(ctx, x, weights, y, workspace, {.residual = x});        // workspace_bytes<layer>(ctx, x.rows)
}
// [moe]
