// docs/cpu.md's tuning: forward multiplies by the engine that it names.
#include <cmath>
#include <type_traits>

#include "tiny_layer.hpp"

namespace {

using namespace moesaic;

// [tuning]
/// E4M3 weights are multiplied in fp16 where the processor can, whatever the rows' format; no fp16 sum has more than 32 products.
struct mine : tune::native {
  static constexpr tune::cpu_engine engine(activation_format a, weight_format w) {
    if (tune::has_fp16_arithmetic && w == weight_format::e4m3_128x128) return tune::cpu_engine::fp16_chunked;
    return tune::native::engine(a, w);
  }
  static constexpr tune::cpu_gemm_policy gemm(tune::cpu_engine e) {
    tune::cpu_gemm_policy p = tune::native::gemm(e);
    p.promote = 32;
    return p;
  }
};
// [tuning]

TEST(cpu_tuning, of_ones_own_is_what_forward_multiplies_by) {
  cpu::serial_pool threads;
  // [on]
  cpu::on const ctx(threads, mine{});  // instead of cpu::on(threads)
  // [on]
  using context = std::remove_const_t<decltype(ctx)>;
  using rows = context::rows<tiny::layer>;
  static_assert(std::is_same_v<rows::element, fp16> == tune::has_fp16_arithmetic);
  tiny::weights const w;
  std::vector<std::uint32_t> const own = tiny::forward_bits(ctx, w), native = tiny::forward_bits(cpu::on(threads), w);
  EXPECT_EQ(own == native, !tune::has_fp16_arithmetic);
  double error = 0.0, size = 0.0;
  for (std::size_t i = 0; i < own.size(); ++i) {
    double const right = static_cast<double>(from_bits(native[i])), off = static_cast<double>(from_bits(own[i])) - right;
    error += off * off;
    size += right * right;
  }
  EXPECT_LT(std::sqrt(error / size), 0.05);  // of E4M3 rows, where an error of fp16's size moves some values by a whole step
}

}  // namespace
