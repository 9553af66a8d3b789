// The engine amx_bf16, compiled for a processor that has tiles, whatever this one has.
#include <moesaic/cpu.hpp>

using namespace moesaic;
using bf16_rows = cpu::blocked_rows<tune::cpu_engine::amx_bf16, false>;
constexpr tune::cpu_gemm_policy policy = tune::native::gemm(tune::cpu_engine::amx_bf16);
constexpr auto fp8 = weight_format::e4m3_128x128;

template void cpu::grouped_gemm<policy>(cpu::serial_pool&, gemm_input<bf16_rows> const&, cpu::packed_matrices<fp8> const&,
                                        std::int32_t const*, matrix_view<float>);
template void cpu::grouped_gemm<policy>(cpu::serial_pool&, gemm_input<bf16_rows> const&, weight_matrices<weight_format::bf16> const&,
                                        std::int32_t const*, matrix_view<float>);
