#include "route.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <sstream>
#include <vector>

namespace oracle {

namespace {

constexpr double unit = 0x1p-24;       // half a unit in the last place of an fp32 in [1, 2)
constexpr double denormal = 0x1p-149;  // the smallest fp32

struct ranked {
  double value = 0, error = 0;
  // What the value was made from. Ranks that were made from the same numbers are exact ties.
  std::array<double, 4> origin{};

  bool surely_above(ranked const& other, bool lower_index) const {
    return origin == other.origin ? lower_index : value > other.value + error + other.error;
  }
};

struct expert {
  bool usable = false;
  double score = 0, score_error = 0;
  ranked rank;
};

struct judge {
  moesaic::moe_config const& c;
  float const* logits;
  float const* bias;
  std::int32_t const* ids;
  float const* weights;
  double logit_error;

  std::vector<expert> experts{};
  std::vector<ranked> groups{};
  std::vector<bool> group_usable{};

  int group_size() const { return c.experts / c.n_group; }

  void make_scores() {
    experts.resize(static_cast<std::size_t>(c.experts));
    double top = -INFINITY, total = 0;
    for (int e = 0; e < c.experts; ++e)
      if (!std::isnan(logits[e])) top = std::max(top, static_cast<double>(logits[e]));
    for (int e = 0; e < c.experts; ++e) {
      double const z = logits[e];
      expert& x = experts[static_cast<std::size_t>(e)];
      if (std::isnan(z)) continue;
      x.usable = true;
      double relative = 8 * unit + 2 * logit_error;
      if (c.score == moesaic::score_fn::sigmoid) {
        x.score = 1.0 / (1.0 + std::exp(-z));
      } else {
        x.score = z == top ? 1.0 : std::exp(z - top);
        if (z != top && x.score > 0) relative += unit * std::fabs(z - top);  // the fp32 subtraction
      }
      x.score_error = x.score * relative + denormal;
      total += x.score;
    }
    for (int e = 0; e < c.experts; ++e) {
      expert& x = experts[static_cast<std::size_t>(e)];
      if (c.score == moesaic::score_fn::softmax) x.score /= total, x.score_error = x.score_error / total + denormal;
      double const b = c.bias ? static_cast<double>(bias[e]) : 0.0;
      if (std::isnan(b)) x.usable = false;
      x.rank.value = x.score + b;
      x.rank.error = x.score_error + unit * std::fabs(x.rank.value);
      x.rank.origin = {static_cast<double>(logits[e]) + 0.0, b + 0.0, 0.0, 0.0};  // + 0.0 makes −0 +0
    }
  }

  void make_groups() {
    for (int g = 0; g < c.n_group; ++g) {
      std::vector<ranked const*> best;
      for (int e = g * group_size(); e < (g + 1) * group_size(); ++e)
        if (experts[static_cast<std::size_t>(e)].usable) best.push_back(&experts[static_cast<std::size_t>(e)].rank);
      std::size_t const top = std::min<std::size_t>(best.size(), 2);
      std::partial_sort(best.begin(), best.begin() + static_cast<std::ptrdiff_t>(top), best.end(),
                        [](auto* a, auto* b) { return a->value > b->value; });
      group_usable.push_back(!best.empty());
      ranked r{-INFINITY, 0, {-INFINITY, -INFINITY, -INFINITY, -INFINITY}};
      if (!best.empty() && c.group_score == moesaic::group_score_fn::max) {
        r = *best[0];
      } else if (best.size() >= 2) {
        r = *best[0];
        r.value += best[1]->value;
        r.error += best[1]->error + unit * std::fabs(r.value);
        r.origin[2] = best[1]->origin[0];
        r.origin[3] = best[1]->origin[1];
      }
      groups.push_back(r);
    }
  }

  // A group above another one: any usable expert is above none, then by score.
  bool group_surely_above(int a, int b) const {
    auto const i = static_cast<std::size_t>(a), j = static_cast<std::size_t>(b);
    if (group_usable[i] != group_usable[j]) return group_usable[i];
    return groups[i].surely_above(groups[j], a < b);
  }

  bool may_be_kept(unsigned kept) const {
    for (int a = 0; a < c.n_group; ++a)
      for (int b = 0; b < c.n_group; ++b)
        if ((kept >> a & 1) == 0 && (kept >> b & 1) == 1 && group_surely_above(a, b)) return false;
    return true;
  }

  std::string fault_if_kept(unsigned kept) const {
    std::ostringstream out;
    std::vector<int> rest;
    for (int e = 0; e < c.experts; ++e)
      if (experts[static_cast<std::size_t>(e)].usable && (kept >> (e / group_size()) & 1) == 1) rest.push_back(e);
    int const usable = std::min(c.top_k, static_cast<int>(rest.size()));
    double total = 0, total_error = 0;
    for (int k = 0; k < usable; ++k) {
      auto const at = std::find(rest.begin(), rest.end(), ids[k]);
      if (at == rest.end()) return out << "rank " << k << ": expert " << ids[k] << " is not usable or not in a kept group", out.str();
      rest.erase(at);
      expert const& x = experts[static_cast<std::size_t>(ids[k])];
      total += x.score;
      total_error += x.score_error;
    }
    for (int k = 0; k < usable; ++k) {
      ranked const& mine = experts[static_cast<std::size_t>(ids[k])].rank;
      auto above = [&](int e) { return experts[static_cast<std::size_t>(e)].rank.surely_above(mine, e < ids[k]); };
      for (int later = k + 1; later < usable; ++later)
        if (above(ids[later])) return out << "rank " << k << ": expert " << ids[k] << " stands above " << ids[later], out.str();
      for (int e : rest)
        if (above(e)) return out << "rank " << k << ": expert " << ids[k] << " was taken and " << e << " was not", out.str();
    }
    int lowest = 0;
    for (int k = usable; k < c.top_k; ++k) {
      while (std::find(ids, ids + k, lowest) != ids + k) ++lowest;
      if (ids[k] != lowest || weights[k] != 0.0F)
        return out << "rank " << k << ": expert " << ids[k] << " with weight " << weights[k] << ", expected " << lowest << " with 0",
               out.str();
    }
    double const scale = c.route_scale;
    bool const sum = c.norm == moesaic::norm_fn::sum;
    double const divisor = sum ? total + static_cast<double>(c.norm_eps) : 1.0;
    double const divisor_error = sum ? total_error + unit * (c.top_k + 1) * total : 0.0;
    for (int k = 0; k < usable; ++k) {
      expert const& x = experts[static_cast<std::size_t>(ids[k])];
      double const w = weights[k];
      if (divisor <= 2 * divisor_error) {  // scores next to the smallest number: any share of the sum is possible, and none
        if (!(w >= 0.0 && w <= scale * (1 + 1e-6))) return out << "rank " << k << ": weight " << w, out.str();
        continue;
      }
      double const expected = x.score / divisor * scale;
      double const error = scale * (x.score_error + x.score / divisor * divisor_error) / (divisor - divisor_error) + 2 * denormal;
      if (!(std::fabs(w - expected) <= std::max(1e-6 * expected, error)))
        return out << "rank " << k << ": weight " << w << ", expected " << expected, out.str();
    }
    return {};
  }

  std::string fault() {
    std::ostringstream out;
    for (int k = 0; k < c.top_k; ++k)
      if (ids[k] < 0 || ids[k] >= c.experts || std::find(ids, ids + k, ids[k]) != ids + k)
        return out << "rank " << k << ": expert " << ids[k] << " is out of range or taken twice", out.str();
    make_scores();
    make_groups();
    if (c.topk_group == c.n_group) return fault_if_kept(~0U);
    std::string fault = "no choice of groups is possible";
    for (unsigned kept = 0; kept < 1U << c.n_group; ++kept) {
      if (std::popcount(kept) != c.topk_group || !may_be_kept(kept)) continue;
      fault = fault_if_kept(kept);
      if (fault.empty()) break;
    }
    return fault;
  }
};

}  // namespace

std::string fault_of_route(moesaic::moe_config const& c, float const* logits, float const* bias, std::int32_t const* ids,
                           float const* weights, double logit_error) {
  return judge{c, logits, bias, ids, weights, logit_error}.fault();
}

}  // namespace oracle
