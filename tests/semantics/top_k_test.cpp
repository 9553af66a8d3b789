#include <gtest/gtest.h>

#include <moesaic/semantics/top_k.hpp>
#include <vector>

namespace {

struct result {
  int usable;
  std::vector<std::int32_t> ids;
};

result best(std::vector<std::uint32_t> keys, int k) {
  std::vector<std::int32_t> ids(static_cast<std::size_t>(k), -1);
  int const usable = moesaic::top_k(moesaic::serial_group{}, keys.data(), static_cast<int>(keys.size()), k, ids.data());
  return {usable, ids};
}
using ids = std::vector<std::int32_t>;

TEST(top_k, topk_breaks_ties_by_lowest_index) {
  EXPECT_EQ(best({5, 9, 9, 5, 9}, 4).ids, (ids{1, 2, 4, 0}));
  EXPECT_EQ(best({3, 3, 3, 3}, 4).ids, (ids{0, 1, 2, 3}));
}

TEST(top_k, too_few_usable_are_followed_by_the_lowest_unused) {
  result const r = best({0, 0, 7, 0, 8, 0}, 5);
  EXPECT_EQ(r.usable, 2);
  EXPECT_EQ(r.ids, (ids{4, 2, 0, 1, 3}));
}

TEST(top_k, none_usable_gives_the_first_indices) {
  result const r = best({0, 0, 0}, 3);
  EXPECT_EQ(r.usable, 0);
  EXPECT_EQ(r.ids, (ids{0, 1, 2}));
}

TEST(top_k, minus_infinity_is_usable_and_never_taken_twice) {
  std::uint32_t const low = moesaic::ordered_key(moesaic::from_bits(0x80000000U | moesaic::inf_bits));
  result const r = best({low, low, low}, 3);
  EXPECT_EQ(r.usable, 3);
  EXPECT_EQ(r.ids, (ids{0, 1, 2}));
}

}  // namespace
