// Every kind of operands that the portable grouped GEMM has kernels for.
#include <moesaic/cuda/gemm/portable.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

template status launch_portable_gemm(cudaStream_t, int, gemm_arguments<f32_rows, weight_format::f32> const&);
template status launch_portable_gemm(cudaStream_t, int, gemm_arguments<f32_rows, weight_format::bf16> const&);
template status launch_portable_gemm(cudaStream_t, int, gemm_arguments<f32_rows, weight_format::e4m3_128x128> const&);
template status launch_portable_gemm(cudaStream_t, int, gemm_arguments<quantized_rows<float>, weight_format::e4m3_128x128> const&);

}  // namespace moesaic::inline MOESAIC_ABI::cuda
