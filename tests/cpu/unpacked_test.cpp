// Weights that are read as the caller has them have the bits of packed ones: every format and engine, few rows and many, all tails.
#include <gtest/gtest.h>

#include <cstring>
#include <moesaic/cpu.hpp>
#include <moesaic/cpu/thread_pool.hpp>
#include <oracle/numbers.hpp>
#include <vector>

#include "on_this_machine.hpp"
#include "tiny_layer.hpp"

namespace {

using namespace moesaic;
using tune::cpu_engine;

// [views]
struct views : tune::native {
  static constexpr bool packs = false;
};
// [views]

template <cpu_engine Engine, activation_format A, weight_format F>
struct unpacked_case {
  static constexpr cpu_engine engine = Engine;
  static constexpr activation_format activations = A;
  static constexpr weight_format weights = F;
  struct packing : tune::native {
    static constexpr cpu_engine engine(activation_format, weight_format) { return Engine; }
  };
  struct viewing : packing {
    static constexpr bool packs = false;
  };
};
constexpr auto fp8 = weight_format::e4m3_128x128;
using cases = testing::Types<unpacked_case<cpu_engine::fp32_exact, activation_format::f32, weight_format::f32>,
                             unpacked_case<cpu_engine::fp32_exact, activation_format::bf16, weight_format::bf16>,
                             unpacked_case<cpu_engine::fp32_exact, activation_format::e4m3_1x128, fp8>
#if defined(__AVX512FP16__) || defined(__ARM_FEATURE_FP16_VECTOR_ARITHMETIC)
                             ,
                             unpacked_case<cpu_engine::fp16_chunked, activation_format::fp16, fp8>
#endif
#if defined(__AVX512BF16__) && defined(__AVX512BW__)
                             ,
                             unpacked_case<cpu_engine::bf16_dot, activation_format::bf16, weight_format::bf16>,
                             unpacked_case<cpu_engine::bf16_dot, activation_format::bf16, fp8>
#endif
#if defined(__AMX_BF16__) && defined(__AMX_TILE__)
                             ,
                             unpacked_case<cpu_engine::amx_bf16, activation_format::bf16, weight_format::bf16>,
                             unpacked_case<cpu_engine::amx_bf16, activation_format::bf16, fp8>
#endif
                             >;
template <class>
struct cpu_unpacked : testing::Test {};
TYPED_TEST_SUITE(cpu_unpacked, cases);

template <weight_format F>
weight_code_t<F> random_code(oracle::random& r) {
  if constexpr (F == fp8)
    return static_cast<std::uint8_t>(r.below(0x7f) | r.below(2) * 128);
  else
    return from_float<weight_code_t<F>>(r.normal());
}

// Matrices that lie no better than their elements have to, rows `gap` elements apart, behind one another or wherever the table says.
template <weight_format F>
struct matrices {
  std::vector<weight_code_t<F>> codes;
  std::vector<float> scales;
  std::vector<weight_code_t<F> const*> table;
  weight_matrices<F> w;

  matrices(int experts, std::int64_t n, std::int64_t k, std::int64_t gap, bool tables, oracle::random& r) {
    std::int64_t const stride = k + gap, grid = ceil_div(n, 128) * ceil_div(k, 128);
    codes.resize(static_cast<std::size_t>(1 + experts * n * stride));
    for (auto& c : codes) c = random_code<F>(r);
    w = {experts, n, k, {codes.data() + 1, n * stride}, {}, gap != 0 ? stride : 0};
    for (int e = 0; e < experts; ++e) table.push_back(codes.data() + 1 + (experts - 1 - e) * n * stride);
    if (tables) w.codes = {nullptr, 0, table.data()};
    if constexpr (F == fp8) {
      scales.resize(static_cast<std::size_t>(experts * grid));
      for (float& s : scales) s = static_cast<float>(1 + r.below(100)) * 1e-3F;
      w.scales = {scales.data(), grid};
    }
  }
  matrices(matrices const&) = delete;
};

std::vector<std::uint32_t> bits_of(float const* x, std::int64_t count) {
  std::vector<std::uint32_t> bits(static_cast<std::size_t>(count));
  std::memcpy(bits.data(), x, bits.size() * sizeof(float));
  return bits;
}

// A context's own rows times prepared matrices.
template <class Case, class Tuning>
std::vector<std::uint32_t> multiply(Tuning tuning, weight_matrices<Case::weights> const& w, matrix_view<float const> x,
                                    std::vector<std::int32_t> const& offsets) {
  using context = cpu::on<cpu::serial_pool, Tuning>;
  using rows = typename context::template rows<policy_of<Case::activations, Case::weights>>;
  context const ctx{cpu::serial_pool{}, tuning};
  tiny::bytes const home(prepared_bytes(ctx, w));
  typename context::template prepared_matrices<Case::weights> prepared;
  EXPECT_TRUE(prepare(ctx, w, home.memory(), prepared));
  arena sizes;
  rows::take(sizes, x.rows, x.cols);
  tiny::bytes const rows_home(sizes.used());
  arena a(rows_home.memory());
  rows const blocked = rows::take(a, x.rows, x.cols);
  EXPECT_TRUE((ctx.template gather<Case::activations>(x, dispatch_map{}, blocked)));
  std::vector<float> out(static_cast<std::size_t>(x.rows * w.n), -1.0F);
  EXPECT_TRUE(ctx.grouped_gemm(gemm_input{blocked}, prepared, offsets.data(), matrix_view<float>(out.data(), x.rows, w.n)));
  return bits_of(out.data(), x.rows * w.n);
}

TYPED_TEST(cpu_unpacked, weights_have_the_bits_of_packed_ones) {
  if (!runs_here(TypeParam::engine)) GTEST_SKIP() << "not on this machine";
  oracle::random r{19};
  std::vector<std::int32_t> const offsets{0, 1, 1, 4, 20, 73};  // skinny, none, skinny, one panel, two
  for (auto const& [n, k] : {std::pair{1, 3}, {16, 44}, {40, 300}, {144, 128}, {130, 513}, {96, 384}})
    for (bool const apart : {false, true}) {
      matrices<TypeParam::weights> const m(5, n, k, apart ? 3 : 0, apart, r);
      std::vector<float> x(static_cast<std::size_t>(73 * k));
      for (float& v : x) v = r.normal();
      matrix_view<float const> const rows(x.data(), 73, k);
      EXPECT_EQ(multiply<TypeParam>(typename TypeParam::viewing{}, m.w, rows, offsets),
                multiply<TypeParam>(typename TypeParam::packing{}, m.w, rows, offsets))
          << n << " x " << k << (apart ? ", rows apart" : "");
    }
}

// Rows as a router has them, through the checked front door.
template <class Tuning, weight_format F>
std::vector<std::uint32_t> multiply_plain(Tuning tuning, weight_matrices<F> const& w, matrix_view<float const> x) {
  cpu::on const ctx{cpu::serial_pool{}, tuning};
  tiny::bytes const home(prepared_bytes(ctx, w)), out(static_cast<std::size_t>(x.rows * w.n) * sizeof(float));
  typename cpu::on<cpu::serial_pool, Tuning>::template prepared_matrices<F> prepared;
  EXPECT_TRUE(prepare(ctx, w, home.memory(), prepared));
  EXPECT_TRUE(grouped_gemm(ctx, gemm_input{x}, prepared, nullptr, matrix_view<float>(out.as<float>(), x.rows, w.n)));
  return bits_of(out.as<float>(), x.rows * w.n);
}

template <weight_format F>
void expect_plain_rows_equal() {
  oracle::random r{20};
  matrices<F> const m(1, 37, 200, 0, false, r);
  for (std::int64_t const rows : {1, 6, 7, 50}) {
    tiny::bytes const home(static_cast<std::size_t>(rows * 200) * sizeof(float));
    for (std::int64_t i = 0; i < rows * 200; ++i) home.as<float>()[i] = r.normal();
    matrix_view<float const> const x(home.as<float>(), rows, 200);
    EXPECT_EQ(multiply_plain(views{}, m.w, x), multiply_plain(tune::native{}, m.w, x)) << rows;
  }
}
TEST(cpu_unpacked, weights_take_rows_that_are_not_blocked) {
  expect_plain_rows_equal<weight_format::f32>();
  expect_plain_rows_equal<weight_format::bf16>();
  expect_plain_rows_equal<fp8>();
}

TEST(cpu_unpacked, layer_takes_no_memory_and_has_the_bits_of_a_packed_one) {
  tiny::weights const w;
  auto const packed = tiny::forward_bits(cpu::on(cpu::serial_pool{}), w);
  cpu::on const ctx(cpu::serial_pool{}, views{});
  EXPECT_EQ(prepared_bytes(ctx, w.all.up), 0U);
  EXPECT_EQ(tiny::forward_bits(ctx, w), packed);
  cpu::thread_pool pool(3);
  EXPECT_EQ(tiny::forward_bits(cpu::on(pool, views{}), w), packed);
}

}  // namespace
