// All kernels of one layer, as a program that includes the door and makes one layer of it gets them: Hopper's, with -DGATHERS those that gather
// rows themselves, or with -DPORTABLE everybody's; of quantised rows, with -DUE8M0 those whose scales are powers of two, or with
// -DUNQUANTISED of others.
#include <moesaic/cuda.hpp>

namespace {
#if defined(UNQUANTISED)
using policy = moesaic::policies::fp8_weights;
#elif defined(UE8M0)
using policy = moesaic::policies::fp8_w8a8_ue8m0;
#else
using policy = moesaic::policies::fp8_w8a8;
#endif
using layer = moesaic::layer<moesaic::models::deepseek_v3, policy>;
#ifdef PORTABLE
using context = moesaic::cuda::on<moesaic::tune::sm80>;
#elif defined(GATHERS)
struct gathering : moesaic::tune::sm90a {
  static constexpr bool gathers = true;
};
using context = moesaic::cuda::on<gathering>;
#else
using context = moesaic::cuda::on<moesaic::tune::sm90a>;
#endif
}  // namespace

moesaic::status load(context ctx, moesaic::layer_weights<layer> const& checkpoint, moesaic::memory packed,
                     moesaic::prepared_weights<context, layer>& weights) {
  return moesaic::prepare<layer>(ctx, checkpoint, packed, weights);
}

moesaic::status run(context ctx, moesaic::matrix_view<moesaic::bf16 const> x, moesaic::prepared_weights<context, layer> const& weights,
                    moesaic::matrix_view<moesaic::bf16> y, moesaic::memory workspace) {
  return moesaic::forward<layer>(ctx, x, weights, y, workspace, {.residual = x});
}
