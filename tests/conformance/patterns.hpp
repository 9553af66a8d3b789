// The data that routers meet, and worse.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <moesaic/config/moe_config.hpp>
#include <oracle/numbers.hpp>
#include <vector>

namespace conformance {

enum class pattern {
  random,
  one_expert,  // one expert is the best of every token
  starved,     // two experts of three are nobody's choice
  bias_12,     // biases of ±12, far beyond any score (logits of ±12 where a router has no bias)
  nan,         // a logit in eight is NaN, and one bias
  infinite,    // a logit in four is infinite, of either sign
  minus_zero,  // zeros of both signs
  denormal,    // logits that are denormal, and logits whose sigmoid and exp are
  ties,        // four values
  equal,       // one value in a row
  few_usable,  // fewer than K numbers, down to none; the rest is NaN
  huge,        // up to the largest fp32
};
inline constexpr int pattern_count = 12;
inline constexpr std::int64_t token_counts[] = {0, 1, 2, 7, 64, 333};

// All pairs (router, tokens) and (pattern, tokens) occur over the table, since 12 patterns run through 6 token counts from 57 places.
inline std::int64_t tokens_of(int router, pattern p) { return token_counts[(router + static_cast<int>(p)) % 6]; }

struct router_input {
  std::vector<float> logits, bias;
};

inline router_input make_router_input(moesaic::moe_config const& c, pattern p, std::int64_t tokens, oracle::random& r) {
  constexpr float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  router_input in;
  for (int e = 0; e < c.experts; ++e) in.bias.push_back(r.normal() * 0.1F);
  if (p == pattern::bias_12)
    for (float& b : in.bias) b = r.below(2) == 0 ? 12.0F : -12.0F;
  if (p == pattern::ties)
    for (float& b : in.bias) b = r.below(2) == 0 ? 0.0F : 0.25F;
  if (p == pattern::equal || p == pattern::minus_zero || p == pattern::denormal)
    for (float& b : in.bias) b = p == pattern::denormal ? 0x1p-140F : r.below(2) == 0 ? 0.0F : -0.0F;
  if (p == pattern::nan) in.bias[static_cast<std::size_t>(r.below(c.experts))] = nan;

  int const best = r.below(c.experts);
  for (std::int64_t t = 0; t < tokens; ++t) {
    float const row_value = r.normal() * 3.0F;
    std::vector<float> row;
    for (int e = 0; e < c.experts; ++e) {
      float const z = r.normal() * 2.0F;
      switch (p) {
        case pattern::random: row.push_back(z); break;
        case pattern::one_expert: row.push_back(e == best ? 40.0F : z - 20.0F); break;
        case pattern::starved: row.push_back(e % 3 == 0 ? z : z - 60.0F); break;
        case pattern::bias_12: row.push_back(c.bias ? z : r.below(2) == 0 ? 12.0F : -12.0F); break;
        case pattern::nan: row.push_back(r.below(8) == 0 ? nan : z); break;
        case pattern::infinite: row.push_back(r.below(4) == 0 ? (r.below(3) == 0 ? inf : -inf) : z); break;
        case pattern::minus_zero: row.push_back(r.below(2) == 0 ? 0.0F : -0.0F); break;
        case pattern::denormal: row.push_back(t % 2 == 0 ? z * 0x1p-140F : r.below(16) == 0 && t % 4 == 1 ? 0.0F : -95.0F + z); break;
        case pattern::ties: row.push_back(static_cast<float>(r.below(4)) - 1.5F); break;
        case pattern::equal: row.push_back(row_value); break;
        case pattern::few_usable: row.push_back(nan); break;
        case pattern::huge: row.push_back(r.below(3) == 0 ? z * 5e37F : z * 20.0F); break;
      }
    }
    if (p == pattern::few_usable)
      for (std::int64_t n = t % c.top_k; n > 0; --n) row[static_cast<std::size_t>(r.below(c.experts))] = r.normal();
    in.logits.insert(in.logits.end(), row.begin(), row.end());
  }
  return in;
}

}  // namespace conformance
