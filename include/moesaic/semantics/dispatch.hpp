// The dispatch map: which row of the expert-sorted order belongs to which (token, k).
#pragma once

#include <cstdint>

#include <moesaic/semantics/bin_stable.hpp>
#include <moesaic/semantics/handoff.hpp>

namespace moesaic::inline MOESAIC_ABI {

/// Fills every entry of `map` from `ids` [tokens · top_k]; an id outside [0, experts) has no row. One group does the whole map.
struct build_dispatch_map {
  struct scratch {};

  std::int32_t const* ids;
  dispatch_map map;

  template <group G>
  MOESAIC_HD void operator()(G const& g, std::int64_t, scratch&) const {
    std::int64_t const slots = map.tokens * map.top_k;
    std::int32_t const* const id = ids;
    dispatch_map const m = map;
    g.for_each(static_cast<int>(slots), [m](int i) {
      m.slot_to_row[i] = -1;
      m.row_to_slot[i] = -1;
    });
    bin_stable(
        g, slots, m.experts, [id](std::int64_t i) { return id[i]; }, m.expert_offsets,
        [m](std::int64_t slot, std::int32_t row) {
          m.slot_to_row[slot] = row;
          m.row_to_slot[row] = static_cast<std::int32_t>(slot);
        });
  }
};

}  // namespace moesaic::inline MOESAIC_ABI
