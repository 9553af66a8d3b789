// Step 4: a whole layer. Router, map, two GEMMs with SwiGLU between them and the weighted sum are one call; all memory is ours.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <moesaic/cpu.hpp>
#include <random>
#include <utility>
#include <vector>

struct my_model {
  static constexpr moesaic::moe_config config{.hidden = 16, .inter = 8, .experts = 4, .top_k = 2, .norm = moesaic::norm_fn::sum};
};
using layer = moesaic::layer<my_model, moesaic::policies::f32_weights>;  // the policy: how the checkpoint stores weights

struct alignas(64) line {
  char bytes[64];
};
moesaic::memory all_of(std::vector<line>& v) { return {v.data(), v.size() * sizeof(line)}; }

int main() {
  constexpr int H = 16, I = 8, E = 4, T = 3;
  float router[E][H], gate[E][I][H], up[E][I][H], down[E][H][I];
  alignas(16) float x[T][H], y[T][H];
  std::mt19937 bits;
  auto const random = [&] { return static_cast<float>(bits() >> 8) * 0x1p-23F - 1.0F; };
  for (auto [p, n] : {std::pair{router[0], E * H}, {gate[0][0], E * I * H}, {up[0][0], E * I * H}, {down[0][0], E * H * I}, {x[0], T * H}})
    std::generate_n(p, n, random);

  // Where the weights lie: number of matrices, rows, columns, address, elements from one expert to the next. Nothing is copied yet.
  moesaic::layer_weights<layer> stored;
  stored.router = {1, E, H, {router[0]}};
  stored.gate = {E, I, H, {gate[0][0], I * H}};
  stored.up = {E, I, H, {up[0][0], I * H}};
  stored.down = {E, H, I, {down[0][0], H * I}};

  // Once per load: ask for the size, get the memory, prepare.
  moesaic::cpu::on const here{moesaic::cpu::serial_pool{}};
  std::vector<line> home(moesaic::prepared_bytes<layer>(here) / sizeof(line));
  moesaic::prepared_weights<moesaic::cpu::on<moesaic::cpu::serial_pool>, layer> weights;
  moesaic::status s = moesaic::prepare<layer>(here, stored, all_of(home), weights);
  if (!s) return std::puts(moesaic::describe(s).c_str()), 1;

  // Each time: workspace_bytes says how much scratch that many tokens need.
  moesaic::matrix_view<float const> const in(x[0], T, H);
  moesaic::matrix_view<float> const out(y[0], T, H);
  std::vector<line> workspace(moesaic::workspace_bytes<layer>(here, T) / sizeof(line));
  s = moesaic::forward<layer>(here, in, weights, out, all_of(workspace));
  std::printf("forward: %s\n", moesaic::describe(s).c_str());
  if (!s) return 1;

  // A wrong argument is an answer, no crash, and y is left as it was.
  moesaic::matrix_view<float const> narrow = in;
  narrow.cols = H - 1;
  s = moesaic::forward<layer>(here, narrow, weights, out, all_of(workspace));
  std::printf("one column too few: %s\n\n", moesaic::describe(s).c_str());
  if (s) return 1;

  // By hand, in double.
  double worst = 0;
  for (int t = 0; t < T; ++t) {
    double z[E] = {}, p[E], hand[H] = {};
    for (int i = 0; i < E * H; ++i) z[i / H] += double{router[i / H][i % H]} * double{x[t][i % H]};
    int best[E] = {0, 1, 2, 3};
    std::sort(best, best + E, [&](int a, int b) { return z[a] > z[b]; });
    double const sum = (p[best[0]] = std::exp(z[best[0]])) + (p[best[1]] = std::exp(z[best[1]]));
    for (int e : {best[0], best[1]})
      for (int i = 0; i < I; ++i) {
        double g = 0, u = 0;
        for (int c = 0; c < H; ++c) g += double{gate[e][i][c]} * double{x[t][c]}, u += double{up[e][i][c]} * double{x[t][c]};
        for (int r = 0; r < H; ++r) hand[r] += p[e] / sum * double{down[e][r][i]} * (g / (1 + std::exp(-g)) * u);
      }
    std::printf("token %d: experts %d and %d, y = %.4f %.4f ..., by hand %.4f %.4f ...\n", t, best[0], best[1], double{y[t][0]},
                double{y[t][1]}, hand[0], hand[1]);
    for (int r = 0; r < H; ++r) worst = std::max(worst, std::fabs(double{y[t][r]} - hand[r]));
  }
  std::puts(worst < 1e-5 ? "the same to within 1e-5" : "NOT the same");
  return worst < 1e-5 ? 0 : 1;
}
