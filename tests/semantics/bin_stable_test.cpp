#include <gtest/gtest.h>

#include <algorithm>
#include <moesaic/semantics/bin_stable.hpp>
#include <numeric>
#include <random>
#include <vector>

namespace {

// A group that is not serial_group by type, so that the collective version serves it and not the counting one.
struct plain_group : moesaic::serial_group {};

struct placed {
  std::vector<std::int32_t> offsets, item_of_row;
  bool operator==(placed const&) const = default;
};

template <class G>
placed run(G const& g, std::vector<std::int32_t> const& bin, int bins) {
  placed p{std::vector<std::int32_t>(static_cast<std::size_t>(bins) + 1, -7), std::vector<std::int32_t>(bin.size(), -1)};
  auto* const row_item = p.item_of_row.data();
  auto const* const b = bin.data();
  moesaic::bin_stable(
      g, static_cast<std::int64_t>(bin.size()), bins, [=](std::int64_t i) { return b[i]; }, p.offsets.data(),
      [=](std::int64_t i, std::int32_t row) { row_item[row] = static_cast<std::int32_t>(i); });
  return p;
}

placed by_stable_sort(std::vector<std::int32_t> const& bin, int bins) {
  std::vector<std::int32_t> order(bin.size());
  std::iota(order.begin(), order.end(), 0);
  auto at = [&](std::int32_t i) { return bin[static_cast<std::size_t>(i)]; };
  std::erase_if(order, [&](std::int32_t i) { return at(i) < 0 || at(i) >= bins; });
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t x, std::int32_t y) { return at(x) < at(y); });
  placed p;
  for (int b = 0; b <= bins; ++b)
    p.offsets.push_back(static_cast<std::int32_t>(std::count_if(order.begin(), order.end(), [&](std::int32_t i) { return at(i) < b; })));
  order.resize(bin.size(), -1);
  p.item_of_row = order;
  return p;
}

TEST(bin_stable, both_versions_equal_a_stable_sort) {
  std::mt19937 random(3);
  for (int bins : {1, 2, 7, 64})
    for (std::size_t n : {0U, 1U, 2U, 33U, 500U}) {
      std::vector<std::int32_t> bin(n);
      std::uniform_int_distribution<std::int32_t> any(-2, bins + 1);  // some go nowhere
      for (auto& b : bin) b = any(random);
      placed const expected = by_stable_sort(bin, bins);
      EXPECT_EQ(run(moesaic::serial_group{}, bin, bins), expected) << bins << ' ' << n;
      EXPECT_EQ(run(plain_group{}, bin, bins), expected) << bins << ' ' << n;
    }
}

TEST(bin_stable, empty_and_single_bins_have_their_offsets) {
  EXPECT_EQ(run(moesaic::serial_group{}, {2, 2, 2}, 4).offsets, (std::vector<std::int32_t>{0, 0, 0, 3, 3}));
  EXPECT_EQ(run(moesaic::serial_group{}, {}, 3).offsets, (std::vector<std::int32_t>{0, 0, 0, 0}));
}

}  // namespace
