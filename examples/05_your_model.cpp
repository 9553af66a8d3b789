// Step 5: a model of your own, and a promise: a token's result never depends on the tokens it shares a batch with, to the last bit.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <moesaic/cpu.hpp>
#include <moesaic/cpu/thread_pool.hpp>
#include <random>
#include <vector>

// gpt-oss's rules in a small size. The numbers come from your checkpoint's config.json, the rules of each family from docs/models.md.
struct my_model {
  static constexpr moesaic::moe_config config{.hidden = 64,
                                              .inter = 48,
                                              .experts = 8,
                                              .top_k = 4,
                                              .logit_bias = true,
                                              .score = moesaic::score_fn::softmax_of_selected,
                                              .rank = moesaic::rank_fn::logit,
                                              .act = moesaic::activation_fn::swiglu_oai,
                                              .act_limit = 7.0F,
                                              .expert_bias = true};
};
using layer = moesaic::layer<my_model, moesaic::policies::bf16_weights>;

// What makes no sense does not compile; layer<too_many> would name the broken rule: top_k_fits_into_the_kept_groups.
struct too_many {
  static constexpr moesaic::moe_config config{.hidden = 64, .inter = 48, .experts = 8, .top_k = 9};
};
static_assert(moesaic::valid_model<my_model> && !moesaic::valid_model<too_many>);

struct alignas(64) line {
  char bytes[64];
};
moesaic::memory all_of(std::vector<line>& v) { return {v.data(), v.size() * sizeof(line)}; }

int main() {
  constexpr int H = 64, I = 48, E = 8, T = 5, K = 4;
  std::mt19937 bits;
  auto const random = [&] { return static_cast<float>(bits() >> 8) * 0x1p-23F - 1.0F; };
  std::vector<moesaic::bf16> matrices(E * H + 3 * E * I * H);
  std::vector<float> biases(E + 2 * E * I + E * H);
  alignas(16) float x[T][H], y[T][H], alone[H];
  std::generate(matrices.begin(), matrices.end(), [&] { return moesaic::to_bf16(random() / 4); });
  std::generate(biases.begin(), biases.end(), random);
  std::generate_n(x[0], T * H, random);

  moesaic::bf16 const* const router = matrices.data();
  moesaic::bf16 const *const gate = router + E * H, *const up = gate + E * I * H, *const down = up + E * I * H;
  moesaic::layer_weights<layer> stored;
  stored.router = {1, E, H, {router}};
  stored.gate = {E, I, H, {gate, I * H}};
  stored.up = {E, I, H, {up, I * H}};
  stored.down = {E, H, I, {down, H * I}};
  stored.logit_bias = biases.data();
  stored.gate_bias = {biases.data() + E, I};
  stored.up_bias = {biases.data() + E + E * I, I};
  stored.down_bias = {biases.data() + E + 2 * E * I, H};

  moesaic::cpu::thread_pool threads(2);
  moesaic::cpu::on const ctx{threads};
  std::vector<line> home(moesaic::prepared_bytes<layer>(ctx) / sizeof(line));
  std::vector<line> workspace(moesaic::workspace_bytes<layer>(ctx, T) / sizeof(line));
  moesaic::prepared_weights<moesaic::cpu::on<moesaic::cpu::thread_pool&>, layer> weights;
  moesaic::status s = moesaic::prepare<layer>(ctx, stored, all_of(home), weights);

  // All tokens at once; the choice is written where we can see it.
  std::int32_t ids[T][K];
  float shares[T][K];
  if (s)
    s = moesaic::forward<layer>(ctx, moesaic::matrix_view(x[0], T, H), weights, moesaic::matrix_view(y[0], T, H), all_of(workspace),
                                {.choice = {ids[0], shares[0], T, K}});
  if (!s) return std::puts(moesaic::describe(s).c_str()), 1;

  // Each token alone.
  bool all_same = true;
  for (int t = 0; t < T; ++t) {
    s = moesaic::forward<layer>(ctx, moesaic::matrix_view(x[t], 1, H), weights, moesaic::matrix_view(alone, 1, H), all_of(workspace));
    bool const same = s && std::memcmp(alone, y[t], H * sizeof(float)) == 0;
    std::printf("token %d:", t);
    for (int k = 0; k < K; ++k) std::printf("  %.3f of expert %d", double{shares[t][k]}, ids[t][k]);
    std::printf("   alone: %s\n", same ? "the same bits" : "OTHER bits");
    all_same = all_same && same;
  }
  return all_same ? 0 : 1;
}
