// The table of routers covers what it says it covers, and so do the numbers of tokens that its rows meet.
#include "configurations.hpp"

#include <gtest/gtest.h>

#include <array>
#include <moesaic/config/valid.hpp>
#include <set>
#include <tuple>
#include <vector>

#include "patterns.hpp"

namespace {

using namespace conformance;

// The settings of a router as indices into these lists.
constexpr int experts[] = {8, 16, 60, 64, 128, 256, 512, 896};
constexpr int top_k[] = {1, 2, 4, 6, 8, 16, 22};
constexpr int groups[][2] = {{1, 1}, {2, 1}, {4, 2}, {8, 3}, {8, 4}};
constexpr int values[] = {8, 7, 5, 2, 2, 3, 2};
constexpr int settings = 7;
using choice = std::array<int, settings>;
using pair = std::tuple<int, int, int, int>;  // setting, its value, a later setting, its value

// What config/valid.hpp demands, for a value known at run time.
bool valid(choice const& c) {
  int const e = experts[c[0]], k = top_k[c[1]], n = groups[c[2]][0], kept = groups[c[2]][1];
  return e % n == 0 && (c[6] == 0 || n == 1 || e / n >= 2) && k <= kept * (e / n);
}

choice choice_of(router const& r) {
  choice c{-1, -1, -1, r.score == sigmoid, r.bias, r.normalise, r.group_score == top2_sum};
  for (int i = 0; i < values[0]; ++i)
    if (experts[i] == r.experts) c[0] = i;
  for (int i = 0; i < values[1]; ++i)
    if (top_k[i] == r.top_k) c[1] = i;
  for (int i = 0; i < values[2]; ++i)
    if (groups[i][0] == r.n_group && groups[i][1] == r.topk_group) c[2] = i;
  return c;
}

void add_pairs(choice const& c, std::set<pair>& to) {
  for (int i = 0; i < settings; ++i)
    for (int j = i + 1; j < settings; ++j) to.emplace(i, c[static_cast<std::size_t>(i)], j, c[static_cast<std::size_t>(j)]);
}

TEST(configurations, are_at_most_60_and_cover_every_valid_pair) {
  std::set<pair> wanted, found;
  choice c{};
  for (bool more = true; more;) {
    if (valid(c)) add_pairs(c, wanted);
    more = false;
    for (std::size_t i = 0; i < settings && !more; ++i) {
      more = ++c[i] < values[i];
      if (!more) c[i] = 0;
    }
  }
  for (router const& r : routers) {
    choice const row = choice_of(r);
    EXPECT_TRUE(valid(row)) << r.experts << " " << r.top_k;
    add_pairs(row, found);
  }
  EXPECT_LE(router_count, 60);
  EXPECT_EQ(wanted, found);
  std::printf("[ covering ] %d routers, %zu pairs of %zu\n", router_count, found.size(), wanted.size());
}

TEST(configurations, meet_every_pattern_and_every_number_of_tokens_and_so_does_every_pattern) {
  std::set<std::pair<int, std::int64_t>> router_tokens, pattern_tokens;
  for (int r = 0; r < router_count; ++r)
    for (int p = 0; p < pattern_count; ++p) {
      router_tokens.emplace(r, tokens_of(r, pattern{p}));
      pattern_tokens.emplace(p, tokens_of(r, pattern{p}));
    }
  EXPECT_EQ(router_tokens.size(), static_cast<std::size_t>(router_count) * std::size(token_counts));
  EXPECT_EQ(pattern_tokens.size(), static_cast<std::size_t>(pattern_count) * std::size(token_counts));
}

}  // namespace
