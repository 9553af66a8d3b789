// Every engine: decodes every code at its place, has the bits of its scalar twin, shows no tile shape in them, and stays near float64, on
// plain numbers and on hostile ones. Of an engine that this machine lacks, the twin alone is held to the error.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <moesaic/cpu.hpp>
#include <oracle/numbers.hpp>
#include <vector>

#include "on_this_machine.hpp"
#include "packed.hpp"
#include "twin.hpp"

namespace {

using namespace moesaic;
using tune::cpu_engine;

template <cpu_engine E, activation_format A, bool Here, int Promote = 64>
struct engine_case {
  static constexpr cpu_engine engine = E;
  static constexpr activation_format format = A;
  static constexpr bool here = Here;
  static constexpr int promote = Promote;

  // An engine does what its rows' format says; everything else is the machine's default.
  struct tuning : tune::native {
    static constexpr cpu_engine engine(activation_format, weight_format) { return E; }
    static constexpr tune::cpu_gemm_policy gemm(cpu_engine e) {
      tune::cpu_gemm_policy p = tune::native::gemm(e);
      p.promote = Promote;
      return p;
    }
  };
  static float twin(twin::operands const& o) {
    if constexpr (E == cpu_engine::fp32_exact) return twin::fp32_exact(o);
    if constexpr (E == cpu_engine::fp16_chunked) return twin::fp16_chunked(o, Promote);
    if constexpr (E == cpu_engine::amx_bf16) return twin::amx_bf16(o);
    return twin::bf16_dot(o);
  }
  // What a row's element and scale are by the twin's own account.
  static void hold(std::vector<float> const& row, twin::operands& o) {
    o.x = row;
    o.x_scale.assign((row.size() + 127) / 128, 1.0F);
    for (std::size_t b = 0; b * 128 < row.size(); ++b) {
      float amax = 0.0F;
      for (std::size_t k = b * 128; k < row.size() && k < (b + 1) * 128; ++k) amax = std::fmax(amax, std::fabs(row[k]));
      if (E == cpu_engine::fp16_chunked && amax > 0.0F)
        o.x_scale[b] = std::fmax(0x1p-126F, std::ldexp(1.0F, std::ilogb(amax) - 7));  // amax → [128, 256)
      for (std::size_t k = b * 128; k < row.size() && k < (b + 1) * 128; ++k)
        o.x[k] = E == cpu_engine::fp32_exact     ? row[k]
                 : E == cpu_engine::fp16_chunked ? static_cast<float>(oracle::fp16.nearest(static_cast<double>(row[k] / o.x_scale[b])))
                                                 : static_cast<float>(oracle::bf16.nearest(static_cast<double>(row[k])));
    }
  }
  static constexpr float unit = E == cpu_engine::fp32_exact ? 1.0F : 256.0F;
};

using fp32_case = engine_case<cpu_engine::fp32_exact, activation_format::f32, true>;
using bf16_case = engine_case<cpu_engine::bf16_dot, activation_format::bf16, tune::has_bf16_dot>;
using amx_case = engine_case<cpu_engine::amx_bf16, activation_format::bf16, tune::has_amx_bf16>;
template <int Promote>
using fp16_case = engine_case<cpu_engine::fp16_chunked, activation_format::fp16, tune::has_fp16_arithmetic, Promote>;

template <class Case>
struct cpu_engines : testing::Test {};
using cases = testing::Types<fp32_case, fp16_case<64>, fp16_case<32>, fp16_case<16>, bf16_case, amx_case>;
TYPED_TEST_SUITE(cpu_engines, cases);

// The kernel's outputs for all rows of x [rows, k], sorted by expert.
template <class Case, class Tuning = typename Case::tuning>
std::vector<float> multiply(packed const& p, std::vector<float> const& x, std::vector<std::int32_t> const& offsets) {
  cpu::on const ctx{cpu::serial_pool{}, Tuning{}};
  using rows = typename cpu::on<cpu::serial_pool, Tuning>::template rows<policy_of<Case::format, fp8>>;
  std::int64_t const count = offsets.back(), k = p.to.k;
  std::vector<std::byte> home;
  auto const take = [&](memory m) {
    arena a(m);
    rows const r = rows::take(a, count, k);
    home.resize(std::max(home.size(), a.used() + 64));
    return r;
  };
  take({});
  rows const blocked = take({home.data() + (64 - reinterpret_cast<std::uintptr_t>(home.data()) % 64) % 64, 0});
  std::vector<float> out(static_cast<std::size_t>(count * p.to.n), -1.0F);
  EXPECT_TRUE((ctx.template gather<Case::format>(matrix_view<float const>(x.data(), count, k), dispatch_map{}, blocked)));
  EXPECT_TRUE(ctx.grouped_gemm(gemm_input{blocked}, p.to, offsets.data(), matrix_view<float>(out.data(), count, p.to.n)));
  return out;
}

// The same by the twin.
template <class Case>
std::vector<float> by_twin(packed const& p, std::vector<float> const& x, std::vector<std::int32_t> const& offsets) {
  auto const n = static_cast<std::size_t>(p.to.n), k = static_cast<std::size_t>(p.to.k), blocks = (k + 127) / 128;
  std::vector<float> out;
  twin::operands o;
  o.unit = Case::unit;
  o.w.resize(k);
  for (std::size_t e = 0; e + 1 < offsets.size(); ++e)
    for (auto r = static_cast<std::size_t>(offsets[e]); r < static_cast<std::size_t>(offsets[e + 1]); ++r) {
      Case::hold({x.begin() + static_cast<std::ptrdiff_t>(r * k), x.begin() + static_cast<std::ptrdiff_t>((r + 1) * k)}, o);
      for (std::size_t row = 0; row < n; ++row) {
        for (std::size_t c = 0; c < k; ++c) o.w[c] = static_cast<float>(oracle::e4m3.decode(p.codes[(e * n + row) * k + c])) / Case::unit;
        auto const grid = p.scales.begin() + static_cast<std::ptrdiff_t>((e * ((n + 127) / 128) + row / 128) * blocks);
        o.w_scale.assign(grid, grid + static_cast<std::ptrdiff_t>(blocks));
        out.push_back(Case::twin(o));
      }
    }
  return out;
}

std::vector<float> normal_rows(std::int64_t rows, std::int64_t k, std::uint64_t seed) {
  oracle::random random{seed};
  std::vector<float> x(static_cast<std::size_t>(rows * k));
  for (float& v : x) v = random.normal();
  return x;
}

TYPED_TEST(cpu_engines, have_the_bits_of_their_twins) {
  if constexpr (!TypeParam::here) {
    GTEST_SKIP() << "not on this machine";
  } else {
    if (!runs_here(TypeParam::engine)) GTEST_SKIP() << "not on this machine";
    std::vector<std::int32_t> const offsets{0, 3, 3, 21, 25};  // skinny, none, panel, skinny
    for (auto const& [n, k] : {std::pair{40, 300}, {144, 128}, {16, 44}, {130, 513}}) {
      packed const p(4, n, k, 3);
      auto const x = normal_rows(25, k, 6);
      EXPECT_EQ(multiply<TypeParam>(p, x, offsets), by_twin<TypeParam>(p, x, offsets)) << n << ", " << k;
    }
  }
}

TYPED_TEST(cpu_engines, give_zeros_where_there_are_no_columns) {
  if constexpr (TypeParam::here) {
    if (!runs_here(TypeParam::engine)) return;
    packed const p(1, 40, 0, 3);
    EXPECT_EQ(multiply<TypeParam>(p, {}, {0, 20}), std::vector<float>(20 * 40));
  }
}

// Tile shapes that are not the default's.
template <class Case, int SkinnyRows, int SkinnySums, int PanelTile, int PanelSums, int PanelRows>
struct other_tiles : Case::tuning {
  static constexpr tune::cpu_gemm_policy gemm(cpu_engine e) {
    return {e, SkinnyRows, SkinnySums, PanelTile, PanelSums, PanelRows, 32, Case::promote};
  }
};

TYPED_TEST(cpu_engines, show_no_tile_shape_in_the_bits) {
  if constexpr (!TypeParam::here) {
    GTEST_SKIP() << "not on this machine";
  } else {
    if (!runs_here(TypeParam::engine)) GTEST_SKIP() << "not on this machine";
    packed const p(3, 200, 300, 2);
    std::vector<std::int32_t> const offsets{0, 13, 13, 70};
    auto const x = normal_rows(70, 300, 5);
    auto const one = multiply<TypeParam, other_tiles<TypeParam, 1, 1, 1, 1, 1>>(p, x, offsets);
    EXPECT_EQ(one, multiply<TypeParam>(p, x, offsets));
    EXPECT_EQ(one, (multiply<TypeParam, other_tiles<TypeParam, 6, 16, 4, 16, 8>>(p, x, offsets)));
    EXPECT_EQ(one, (multiply<TypeParam, other_tiles<TypeParam, 0, 8, 3, 24, 48>>(p, x, offsets)));
    EXPECT_EQ(one, (multiply<TypeParam, other_tiles<TypeParam, 13, 24, 5, 8, 13>>(p, x, offsets)));
  }
}

// Relative RMS distance from float64, which has the rows as they were given.
template <class Case>
double error_of(packed const& p, std::vector<float> const& x, std::vector<std::int32_t> const& offsets, std::vector<float> const& out) {
  auto const n = static_cast<std::size_t>(p.to.n), k = static_cast<std::size_t>(p.to.k), blocks = (k + 127) / 128;
  double error = 0.0, size = 0.0;
  for (std::size_t e = 0; e + 1 < offsets.size(); ++e)
    for (auto r = static_cast<std::size_t>(offsets[e]); r < static_cast<std::size_t>(offsets[e + 1]); ++r)
      for (std::size_t row = 0; row < n; ++row) {
        double sum = 0.0;
        for (std::size_t c = 0; c < k; ++c)
          sum += static_cast<double>(x[r * k + c]) * oracle::e4m3.decode(p.codes[(e * n + row) * k + c]) *
                 static_cast<double>(p.scales[(e * ((n + 127) / 128) + row / 128) * blocks + c / 128]);
        double const off = static_cast<double>(out[r * n + row]) - sum;
        error += off * off;
        size += sum * sum;
      }
  return std::sqrt(error / size);
}

struct hostile {
  char const* name;
  void (*make)(packed&, std::vector<float>&, oracle::random&);
};
constexpr hostile inputs[] = {
    {"plain numbers that bf16 holds",
     [](packed&, std::vector<float>& x, oracle::random&) {
       for (float& v : x) v = static_cast<float>(oracle::bf16.nearest(static_cast<double>(v)));
     }},
    {"plain numbers", [](packed&, std::vector<float>&, oracle::random&) {}},
    {"one block of a row 2^20 times the others",
     [](packed& p, std::vector<float>& x, oracle::random&) {
       for (std::size_t i = 0; i < x.size(); ++i)
         if (i % static_cast<std::size_t>(p.to.k) / 128 == 1) x[i] *= 0x1p20F;
     }},
    {"one weight scale 2^20 times the others", [](packed& p, std::vector<float>&, oracle::random&) { p.scale(1) *= 0x1p20F; }},
    {"subnormal codes alone",
     [](packed& p, std::vector<float>&, oracle::random& r) {
       for (auto& c : p.codes) c = static_cast<std::uint8_t>(r.below(8) | r.below(2) * 128);
     }},
    {"largest codes alone, rows of one sign",
     [](packed& p, std::vector<float>& x, oracle::random&) {
       for (auto& c : p.codes) c = 0x7E;
       for (auto& v : x) v = std::fabs(v);
     }},
    {"blocks of zeros",
     [](packed& p, std::vector<float>& x, oracle::random&) {
       for (std::size_t i = 0; i < x.size(); ++i)
         if (i % static_cast<std::size_t>(p.to.k) / 128 == 0) x[i] = 0.0F;
       for (std::size_t i = 0; i < p.codes.size(); ++i)
         if (i % static_cast<std::size_t>(p.to.k) / 128 == 2) p.codes[i] = i % 2 == 0 ? 0x00 : 0x80;
     }},
    {"rows with amax 448",
     [](packed& p, std::vector<float>& x, oracle::random& r) {
       for (std::size_t i = 0; i < x.size(); i += static_cast<std::size_t>(p.to.k) / 4) x[i] = r.below(2) == 0 ? 448.0F : -448.0F;
     }},
    {"rows near the smallest number",
     [](packed&, std::vector<float>& x, oracle::random&) {
       for (auto& v : x) v *= 0x1p-100F;
     }},
    {"rows near the largest number",
     [](packed&, std::vector<float>& x, oracle::random&) {
       for (auto& v : x) v *= 0x1p100F;
     }},
};

// What each engine promises on plain numbers: fp16 stays within one rounding to bf16, which is what its results go through in a bf16 model.
template <class Case>
constexpr double bound = Case::engine == cpu_engine::fp16_chunked ? 1.66e-3 : 2e-7;

TYPED_TEST(cpu_engines, stay_near_float64_on_hostile_numbers) {
  for (hostile const& input : inputs) {
    bool const plain = &input - inputs < 2;
    std::int64_t const k = plain ? 7168 : 2048;
    packed p(1, 32, k, 4);
    auto x = normal_rows(9, k, 7);
    oracle::random random{11};
    input.make(p, x, random);
    p.pack();
    if (TypeParam::format == activation_format::bf16)
      for (float& v : x) v = static_cast<float>(oracle::bf16.nearest(static_cast<double>(v)));
    std::vector<std::int32_t> const offsets{0, 9};
    auto const out = by_twin<TypeParam>(p, x, offsets);
    double const error = error_of<TypeParam>(p, x, offsets, out);
    // Where sums are made of numbers much larger than themselves, their error is relative to those.
    EXPECT_LE(error, bound<TypeParam> * (&input == inputs || TypeParam::engine == cpu_engine::fp16_chunked ? 1.0
                                         : plain                                                           ? 1.25
                                                                                                           : 2.5))
        << input.name;
    std::printf("[ error    ] %s: %.2g\n", input.name, error);
    if constexpr (TypeParam::here) {
      if (runs_here(TypeParam::engine)) {
        EXPECT_EQ(multiply<TypeParam>(p, x, offsets), out) << input.name;
      }
    }
  }
}

}  // namespace
