// All kernels of one layer whose rows are not quantised, for any GPU.
#include <moesaic/cuda.hpp>

namespace {
using layer = moesaic::layer<moesaic::models::deepseek_v3, moesaic::policies::fp8_weights>;
using context = moesaic::cuda::on<moesaic::tune::sm80>;
}  // namespace

moesaic::status load(context ctx, moesaic::layer_weights<layer> const& checkpoint, moesaic::memory packed,
                     moesaic::prepared_weights<context, layer>& weights) {
  return moesaic::prepare<layer>(ctx, checkpoint, packed, weights);
}

moesaic::status run(context ctx, moesaic::matrix_view<moesaic::bf16 const> x, moesaic::prepared_weights<context, layer> const& weights,
                    moesaic::matrix_view<moesaic::bf16> y, moesaic::memory workspace) {
  return moesaic::forward<layer>(ctx, x, weights, y, workspace, {.residual = x});
}
