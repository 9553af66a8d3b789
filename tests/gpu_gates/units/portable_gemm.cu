// Every kind of operands that the portable grouped GEMM has kernels for; and of the step up that quantises those of layer.cu apart, the
// largest kernel.
#include <moesaic/cuda/gemm/portable.hpp>
#include <moesaic/cuda/gemm/quantizing_up.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

template status launch_portable_gemm(cudaStream_t, int, gemm_arguments<f32_rows, weight_format::f32> const&);
template status launch_portable_gemm(cudaStream_t, int, gemm_arguments<f32_rows, weight_format::bf16> const&);
template status launch_portable_gemm(cudaStream_t, int, gemm_arguments<f32_rows, weight_format::e4m3_128x128> const&);
template status launch_portable_gemm(cudaStream_t, int, gemm_arguments<quantized_rows<float>, weight_format::e4m3_128x128> const&);

template <class Scale, weight_format F, activation_fn A, class Terms>
using up_of = quantizing_up<up_arguments<activation_format::f32, quantized_rows<Scale>, F, A, Terms>, Scale>;
template status launch_panel_gemm(cudaStream_t, int,
                                  up_of<float, weight_format::e4m3_128x128, activation_fn::swiglu_oai, expert_terms> const&);
template status launch_panel_gemm(cudaStream_t, int, up_of<std::uint8_t, weight_format::bf16, activation_fn::swiglu, no_terms> const&);

}  // namespace moesaic::inline MOESAIC_ABI::cuda
