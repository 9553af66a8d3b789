// The dispatch map: every entry, against a stable sort and against the reference.
#pragma once

#include <moesaic/pipeline/stages.hpp>
#include <oracle/stages.hpp>

#include "route.hpp"

namespace conformance {

struct map_buffers {
  buffer<std::int32_t> expert_offsets, row_to_slot, slot_to_row;
  map_buffers(std::int64_t slots, int experts) : expert_offsets(experts + 1), row_to_slot(slots), slot_to_row(slots) {}
  explicit map_buffers(oracle::dispatch const& d)
      : expert_offsets(d.expert_offsets), row_to_slot(d.row_to_slot), slot_to_row(d.slot_to_row) {}

  moesaic::dispatch_map view(std::int64_t tokens, int top_k) const {
    return {expert_offsets.data(), row_to_slot.data(), slot_to_row.data(), tokens, top_k, static_cast<int>(expert_offsets.size()) - 1};
  }
};

// The router's choice for even patterns; for odd ones as an engine may hand it over: some slots of no expert, or all slots on one expert.
inline std::vector<std::int32_t> make_ids(int router, moesaic::moe_config const& c, pattern p, std::int64_t tokens,
                                          router_input const& in) {
  routed const choice(tokens, c.top_k);
  expected::route(router, in.logits.data(), in.bias.data(), tokens, choice.ids.data(), choice.weights.data());
  std::vector<std::int32_t> ids(choice.ids.begin(), choice.ids.end());
  oracle::random r = random_for(2, static_cast<std::uint64_t>(router), static_cast<std::uint64_t>(p));
  std::int32_t const nowhere[] = {-1, c.experts, std::numeric_limits<std::int32_t>::min(), std::numeric_limits<std::int32_t>::max()};
  if (p == pattern::one_expert)
    std::fill(ids.begin(), ids.end(), r.below(c.experts));
  else if (static_cast<int>(p) % 2 == 1)
    for (std::int32_t& id : ids)
      if (r.below(3) == 0) id = nowhere[r.below(4)];
  if (p == pattern::few_usable) std::fill(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(ids.size() / 2), -1);
  return ids;
}

TEST(dispatch_map, is_a_stable_sort_with_the_reference_bits) {
  for_each_router_case([](int router, moesaic::moe_config const& c, pattern p, std::int64_t tokens, router_input const& in) {
    std::vector<std::int32_t> const ids = make_ids(router, c, p, tokens, in);
    map_buffers const sorted(oracle::sort_slots(ids, c.experts));
    map_buffers const expected(tokens * c.top_k, c.experts);
    expected::dispatch_map(ids.data(), tokens, c.top_k, c.experts, expected.expert_offsets.data(), expected.row_to_slot.data(),
                           expected.slot_to_row.data());
    for_each_setting([&](stamp::context_type const& ctx) {
      buffer<std::int32_t> const given(ids);
      map_buffers const out(tokens * c.top_k, c.experts);
      need(moesaic::make_dispatch_map(ctx, {given.data(), nullptr, tokens, c.top_k}, out.view(tokens, c.top_k)));
      stamp::finish();
      for (map_buffers const* right : {&sorted, &expected}) {
        EXPECT_TRUE(same_bits(out.expert_offsets, right->expert_offsets));
        EXPECT_TRUE(same_bits(out.row_to_slot, right->row_to_slot));
        EXPECT_TRUE(same_bits(out.slot_to_row, right->slot_to_row));
      }
      report().count("dispatch map (router, pattern, setting)");
    });
  });
}

}  // namespace conformance
