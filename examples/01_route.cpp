// Step 1: the router. From eight logits to two experts and their weights, once by hand and once by moesaic.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <moesaic/cpu.hpp>

// A model is a type that says its rules: softmax over 8 experts, the best 2, their weights divided by their sum (Mixtral's rules).
struct my_model {
  static constexpr moesaic::moe_config config{
      .hidden = 8, .inter = 8, .experts = 8, .top_k = 2, .score = moesaic::score_fn::softmax, .norm = moesaic::norm_fn::sum};
};
using layer = moesaic::layer<my_model>;

int main() {
  float const logits[8] = {0.5F, -1.0F, 2.0F, 0.0F, 1.0F, -0.5F, 1.5F, 0.25F};

  // By hand: softmax, the two largest, divided by their sum.
  double p[8], sum = 0;
  for (int e = 0; e < 8; ++e) sum += p[e] = std::exp(double{logits[e]});
  for (double& v : p) v /= sum;
  int best[2] = {0, -1};
  for (int e = 1; e < 8; ++e)
    if (p[e] > p[best[0]]) best[0] = e;
  for (int e = 0; e < 8; ++e)
    if (e != best[0] && (best[1] < 0 || p[e] > p[best[1]])) best[1] = e;
  double const both = p[best[0]] + p[best[1]];

  // [route]
  // By moesaic: a matrix of one row goes in, memory for the choice is ours. A context says where to run: here, on this thread.
  moesaic::cpu::on const here{moesaic::cpu::serial_pool{}};
  std::int32_t ids[2];
  float weights[2];
  moesaic::topk_choice const choice{ids, weights, /*tokens*/ 1, /*top_k*/ 2};
  moesaic::status const s = moesaic::route_from_logits<layer>(here, {logits, 1, 8}, {}, choice);
  // [route]
  if (!s) return std::puts(moesaic::describe(s).c_str()), 1;

  std::puts("expert  logit  softmax");
  for (int e = 0; e < 8; ++e) std::printf("%6d %6.2f %8.4f\n", e, double{logits[e]}, p[e]);
  std::puts("\nchoice        by hand        by moesaic");
  bool same = true;
  for (int k = 0; k < 2; ++k) {
    double const by_hand = p[best[k]] / both, by_moesaic = double{weights[k]};
    std::printf("%6d  expert %d %.4f   expert %d %.4f\n", k, best[k], by_hand, ids[k], by_moesaic);
    same = same && ids[k] == best[k] && std::fabs(by_hand - by_moesaic) < 1e-6;
  }
  std::puts(same ? "the same" : "NOT the same");
  return same ? 0 : 1;
}
