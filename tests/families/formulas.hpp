// What each family's router and experts compute, written from the papers and the models' own code in float64, family by family. Nothing
// here knows moe_config: a formula is what a reader of the model's code would write down.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <vector>

namespace formulas {

using numbers = std::vector<double>;

struct pick {
  int id;
  double weight;
};
using picks = std::vector<pick>;

inline double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }
inline double silu(double x) { return x * sigmoid(x); }
inline numbers map(numbers v, std::function<double(double)> const& f) {
  for (double& x : v) x = f(x);
  return v;
}
inline numbers plus(numbers v, numbers const& b) {
  for (std::size_t i = 0; i < v.size(); ++i) v[i] += b[i];
  return v;
}
inline numbers softmax(numbers v) {
  double const top = *std::max_element(v.begin(), v.end());
  for (double& x : v) x = std::exp(x - top);
  double const sum = std::accumulate(v.begin(), v.end(), 0.0);
  for (double& x : v) x /= sum;
  return v;
}
// The indices of the k largest, best first.
inline std::vector<int> top(numbers const& v, int k) {
  std::vector<int> order(v.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return v[static_cast<std::size_t>(a)] > v[static_cast<std::size_t>(b)]; });
  order.resize(static_cast<std::size_t>(k));
  return order;
}
inline picks take(std::vector<int> const& ids, numbers const& score) {
  picks out;
  for (int const id : ids) out.push_back({id, score[static_cast<std::size_t>(id)]});
  return out;
}
inline double sum_of(picks const& p) {
  return std::accumulate(p.begin(), p.end(), 0.0, [](double s, pick const& x) { return s + x.weight; });
}
inline picks times(picks p, double factor) {
  for (pick& x : p) x.weight *= factor;
  return p;
}
// `v` with the experts outside the best `kept` of `groups` replaced by `other`.
inline numbers keep_groups(numbers v, int groups, int kept, bool by_top2, double other) {
  std::size_t const size = v.size() / static_cast<std::size_t>(groups);
  numbers group_score;
  for (std::size_t g = 0; g < static_cast<std::size_t>(groups); ++g) {
    numbers part(v.begin() + static_cast<std::ptrdiff_t>(g * size), v.begin() + static_cast<std::ptrdiff_t>((g + 1) * size));
    std::sort(part.rbegin(), part.rend());
    group_score.push_back(by_top2 ? part[0] + part[1] : part[0]);
  }
  std::vector<int> const best = top(group_score, kept);
  for (std::size_t e = 0; e < v.size(); ++e)
    if (std::find(best.begin(), best.end(), static_cast<int>(e / size)) == best.end()) v[e] = other;
  return v;
}

inline constexpr double minus_inf = -std::numeric_limits<double>::infinity();

// z: logits, b: correction bias (given where the family has one).
inline picks deepseek_v2(numbers const& z, numbers const&) {
  numbers const p = softmax(z);
  return times(take(top(keep_groups(p, 4, 2, false, 0.0), 3), p), 16.0);
}
inline picks deepseek_v3(numbers const& z, numbers const& b) {
  numbers const s = map(z, sigmoid);
  picks const p = take(top(keep_groups(plus(s, b), 4, 2, true, minus_inf), 4), s);
  return times(p, 2.5 / (sum_of(p) + 1e-20));
}
inline picks sigmoid_bias(numbers const& z, numbers const& b, int k, double scale, double eps) {
  numbers const s = map(z, sigmoid);
  picks const p = take(top(plus(s, b), k), s);
  return times(p, scale / (sum_of(p) + eps));
}
inline picks axk2(numbers const& z, numbers const& b) {  // unselected groups are 0, which beats a negative biased score
  numbers const s = map(z, sigmoid);
  picks const p = take(top(keep_groups(plus(s, b), 4, 1, true, 0.0), 3), s);
  return times(p, 2.5 / (sum_of(p) + 1e-20));
}
inline picks mistral_large3(numbers const& z, numbers const&) {
  numbers const p = softmax(z);
  picks const q = take(top(keep_groups(p, 4, 2, true, 0.0), 4), p);
  return times(q, 1.0 / (sum_of(q) + 1e-20));
}
inline double sqrt_softplus(double z) { return std::sqrt(z > 30 ? z : std::log1p(std::exp(z))); }
inline picks deepseek_v4(numbers const& z, numbers const& b) {
  numbers const s = map(z, sqrt_softplus);
  picks const p = take(top(plus(s, b), 4), s);
  return times(p, 1.5 / (sum_of(p) + 1e-20));
}
inline picks deepseek_v4_hash(numbers const& z, std::vector<int> const& ids) {
  picks const p = take(ids, map(z, sqrt_softplus));
  return times(p, 1.5 / (sum_of(p) + 1e-20));
}
inline picks softmax_as_is(numbers const& z, numbers const&) {
  numbers const p = softmax(z);
  return take(top(p, 4), p);
}
inline picks softmax_renormalised(numbers const& z, numbers const&) {
  picks const p = softmax_as_is(z, {});
  return times(p, 1.0 / sum_of(p));
}
inline picks ernie(numbers const& z, numbers const& b) {
  numbers const p = softmax(z);
  picks const q = take(top(plus(p, b), 4), p);
  return times(q, 1.0 / std::max(sum_of(q), 1e-12));
}
inline picks longcat(numbers const& z, numbers const& b) {
  numbers const p = softmax(z);
  return times(take(top(plus(p, b), 6), p), 6.0);
}
inline picks softmax_of_selected(numbers const& z, int k) {
  std::vector<int> const ids = top(z, k);
  numbers selected;
  for (int const id : ids) selected.push_back(z[static_cast<std::size_t>(id)]);
  selected = softmax(selected);
  picks out;
  for (std::size_t i = 0; i < ids.size(); ++i) out.push_back({ids[i], selected[i]});
  return out;
}
inline picks llama4(numbers const& z, numbers const&) {
  int const id = top(z, 1)[0];
  return {{id, sigmoid(z[static_cast<std::size_t>(id)])}};
}
inline picks sparsemixer(numbers const& z, numbers const&) {
  picks out;
  numbers scores = z;
  for (int round = 0; round < 2; ++round) {
    auto const best = std::max_element(scores.begin(), scores.end());
    numbers gates;
    for (std::size_t e = 0; e < z.size(); ++e) {
      double const factor = std::max(std::fabs(z[e]), *best);
      gates.push_back(scores[e] == minus_inf || (*best - z[e]) / factor > 0.02 ? minus_inf : scores[e]);
    }
    std::size_t const id = static_cast<std::size_t>(best - scores.begin());
    out.push_back({static_cast<int>(id), softmax(gates)[id]});
    scores[id] = minus_inf;
  }
  return out;
}
inline picks grok(numbers const& z, numbers const&) {
  picks const p = softmax_as_is(map(z, [](double v) { return 30.0 * std::tanh(v / 30.0); }), {});
  return times(p, 1.0 / sum_of(p));
}
inline picks laguna(numbers const& z, numbers const& b) {
  numbers const s = map(z, [](double v) { return sigmoid(30.0 * std::tanh(v / 30.0)); });
  picks const p = take(top(plus(s, b), 4), s);
  return times(p, 1.0 / sum_of(p));
}
inline picks muse_spark(numbers const& z, numbers const& b) {
  return sigmoid_bias(map(z, [](double v) { return 0.177 * v; }), b, 4, 1.0, 1e-15);
}
inline picks kolibri(numbers const& z, numbers const& b) {
  picks const p = take(top(plus(z, b), 4), map(z, sigmoid));
  return times(p, 1.0 / sum_of(p));
}
inline picks flint(numbers const& z, numbers const&) {
  numbers const s = map(z, sigmoid);
  picks const p = take(top(s, 4), s);
  return times(p, 1.0 / sum_of(p));
}

// Activations.
inline double clamp(double x, double limit) { return std::min(std::max(x, -limit), limit); }
inline double swiglu(double g, double u) { return silu(g) * u; }
inline double swiglu_clamped(double g, double u) { return silu(std::min(g, 10.0)) * clamp(u, 10.0); }
inline double swiglu_step(double g, double u) { return std::min(silu(g), 7.0) * clamp(u, 7.0); }
inline double swiglu_step_shared(double g, double u) { return std::min(silu(g), 16.0) * clamp(u, 16.0); }
inline double swiglu_oai(double g, double u) {
  double const v = std::min(g, 7.0);
  return v * sigmoid(1.702 * v) * (clamp(u, 7.0) + 1.0);
}
inline double geglu(double g, double u) { return 0.5 * g * std::erfc(-g / std::sqrt(2.0)) * u; }
inline double geglu_tanh(double g, double u) {
  double const t = std::sqrt(2.0 / M_PI) * (g + 0.044715 * g * g * g);
  return g / (1.0 + std::exp(-2.0 * t)) * u;  // (1 + tanh t) / 2, without its cancellation
}
inline double situ(double g, double u) { return 4.0 * std::tanh(g / 4.0) * sigmoid(g) * 25.0 * std::tanh(u / 25.0); }
inline double relu2(double, double u) { return u > 0.0 ? u * u : 0.0; }

}  // namespace formulas
