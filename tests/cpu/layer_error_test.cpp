// A whole layer by every engine against float64, which holds the hidden rows as they are: the error that is promised of each.
#include <gtest/gtest.h>

#include <cmath>
#include <moesaic/cpu.hpp>
#include <oracle/layer.hpp>
#include <oracle/numbers.hpp>
#include <oracle/stages.hpp>
#include <vector>

#include "on_this_machine.hpp"
#include "tiny_layer.hpp"

namespace {

using namespace moesaic;
using tune::cpu_engine;

struct model {
  static constexpr moe_config config{.hidden = 1024, .inter = 512, .experts = 8, .top_k = 4, .shared_inter = 512};
};
constexpr moe_config c = model::config;
constexpr std::int64_t tokens = 40;  // enough for panels of 20 rows, and for the shared expert's

template <activation_format A>
struct holding {
  static constexpr layer_policy policy{.activations = A};
};

// An expert in float64 (oracle::expert_output takes a type of ours, which another instruction set names differently).
std::vector<double> expert_output(std::vector<double> const& x, oracle::expert_weights const& w) {
  std::vector<double> hidden(static_cast<std::size_t>(w.gate.rows)), up(hidden.size()), out(static_cast<std::size_t>(w.down.rows));
  oracle::multiply(x.data(), w.gate, hidden.data());
  oracle::multiply(x.data(), w.up, up.data());
  for (std::size_t i = 0; i < hidden.size(); ++i) hidden[i] = oracle::silu(hidden[i]) * up[i];
  oracle::multiply(hidden.data(), w.down, out.data());
  return out;
}

struct inputs {
  static constexpr std::int64_t matrix = c.hidden * c.inter, grid = matrix / (128 * 128);
  std::vector<std::uint8_t> codes = std::vector<std::uint8_t>((c.experts + 4) * matrix);
  std::vector<float> scales = std::vector<float>((c.experts + 4) * grid);
  std::vector<bf16> router = std::vector<bf16>(c.experts * c.hidden);
  std::vector<std::int32_t> ids;
  std::vector<float> weights;
  tiny::bytes x{tokens * c.hidden * sizeof(float)};

  inputs() {
    oracle::random random{5};
    for (auto& code : codes) code = static_cast<std::uint8_t>(random.below(0x7f) | random.below(2) * 128);
    for (auto& s : scales) s = static_cast<float>(1 + random.below(100)) * 1e-5F;
    for (std::int64_t i = 0; i < tokens * c.hidden; ++i)
      x.as<float>()[i] = static_cast<float>(oracle::bf16.nearest(static_cast<double>(random.normal())));
    for (int t = 0; t < tokens; ++t)
      for (int k = 0; k < c.top_k; ++k) {
        ids.push_back((t + 2 * k) % c.experts);
        weights.push_back(0.1F * static_cast<float>(k + 1));
      }
  }

  template <class L, class B>
  std::vector<float> forward(B const& ctx) {
    layer_weights<L> w;
    w.router = {1, c.experts, c.hidden, {router.data()}, {}};
    w.gate = {c.experts, c.inter, c.hidden, {codes.data(), matrix}, {scales.data(), grid}};
    w.up = {c.experts, c.inter, c.hidden, {codes.data() + matrix, matrix}, {scales.data() + grid, grid}};
    w.down = {c.experts, c.hidden, c.inter, {codes.data() + 2 * matrix, matrix}, {scales.data() + 2 * grid, grid}};
    w.shared_gate = w.shared_up = {1, c.inter, c.hidden, {codes.data() + 3 * matrix}, {scales.data()}};
    w.shared_down = {1, c.hidden, c.inter, {codes.data()}, {scales.data()}};
    tiny::bytes const home(prepared_bytes<L>(ctx)), workspace(workspace_bytes<L>(ctx, tokens)), y(tokens * c.hidden * sizeof(float));
    prepared_weights<B, L> prepared;
    EXPECT_TRUE(prepare<L>(ctx, w, home.memory(), prepared));
    forward_extras<float> extras;
    extras.choice = {ids.data(), weights.data(), tokens, c.top_k};
    extras.given = given_choice::ids_and_weights;
    EXPECT_TRUE(moesaic::forward<L>(ctx, matrix_view<float const>(x.as<float>(), tokens, c.hidden), prepared,
                                    matrix_view<float>(y.as<float>(), tokens, c.hidden), workspace.memory(), extras));
    return {y.as<float>(), y.as<float>() + tokens * c.hidden};
  }

  // Rows × columns from `code` on, as numbers.
  oracle::matrix numbers(int rows, int cols, std::int64_t code, std::int64_t scale) const {
    oracle::matrix m(rows, cols);
    for (int r = 0; r < rows; ++r)
      for (int col = 0; col < cols; ++col)
        m.row(r)[col] = oracle::e4m3.decode(codes[static_cast<std::size_t>(code + r * cols + col)]) *
                        static_cast<double>(scales[static_cast<std::size_t>(scale + r / 128 * (cols / 128) + col / 128)]);
    return m;
  }

  std::vector<double> in_float64() const {
    std::vector<oracle::expert_weights> experts;
    for (int e = 0; e < c.experts; ++e)
      experts.push_back({numbers(c.inter, c.hidden, e * matrix, e * grid), numbers(c.inter, c.hidden, (e + 1) * matrix, (e + 1) * grid),
                         numbers(c.hidden, c.inter, (e + 2) * matrix, (e + 2) * grid)});
    oracle::expert_weights const shared{numbers(c.inter, c.hidden, 3 * matrix, 0), numbers(c.inter, c.hidden, 3 * matrix, 0),
                                        numbers(c.hidden, c.inter, 0, 0)};
    std::vector<double> y;
    for (int t = 0; t < tokens; ++t) {
      std::vector<double> const row(x.as<float>() + t * c.hidden, x.as<float>() + (t + 1) * c.hidden);
      std::vector<double> sum = expert_output(row, shared);
      for (int k = 0; k < c.top_k; ++k) {
        auto const slot = static_cast<std::size_t>(t * c.top_k + k);
        std::vector<double> const part = expert_output(row, experts[static_cast<std::size_t>(ids[slot])]);
        for (std::size_t h = 0; h < sum.size(); ++h) sum[h] += static_cast<double>(weights[slot]) * part[h];
      }
      y.insert(y.end(), sum.begin(), sum.end());
    }
    return y;
  }
};

template <cpu_engine Engine>
struct always : tune::native {
  static constexpr cpu_engine engine(activation_format, weight_format) { return Engine; }
};

template <cpu_engine Engine, activation_format A>
void expect_error(double bound) {
  inputs in;
  static std::vector<double> const right = in.in_float64();
  auto const out = in.forward<layer<model, holding<A>>>(cpu::on{cpu::serial_pool{}, always<Engine>{}});
  double error = 0.0, size = 0.0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    double const off = static_cast<double>(out[i]) - right[i];
    error += off * off;
    size += right[i] * right[i];
  }
  EXPECT_LE(std::sqrt(error / size), bound);
  std::printf("[ error    ] layer, relative RMS: %.2g\n", std::sqrt(error / size));
}

TEST(cpu_layer, by_fp32_exact_is_within_4e_7) { expect_error<cpu_engine::fp32_exact, activation_format::f32>(4e-7); }
TEST(cpu_layer, by_fp16_chunked_is_within_2_2e_3) {
  if constexpr (tune::has_fp16_arithmetic)
    expect_error<cpu_engine::fp16_chunked, activation_format::fp16>(2.2e-3);
  else
    GTEST_SKIP() << "not on this machine";
}
TEST(cpu_layer, by_bf16_dot_is_within_2_2e_3) {
  if constexpr (tune::has_bf16_dot)
    expect_error<cpu_engine::bf16_dot, activation_format::bf16>(2.2e-3);
  else
    GTEST_SKIP() << "not on this machine";
}
TEST(cpu_layer, by_amx_bf16_is_within_2_2e_3) {
  if constexpr (tune::has_amx_bf16)
    if (runs_here(cpu_engine::amx_bf16)) return expect_error<cpu_engine::amx_bf16, activation_format::bf16>(2.2e-3);
  GTEST_SKIP() << "not on this machine";
}

}  // namespace
