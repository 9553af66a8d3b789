// Where an expert's rows lie in layouts that let every expert start at a multiple of some block of rows.
#pragma once

#include <cstdint>

#include <moesaic/semantics/group.hpp>
#include <moesaic/semantics/handoff.hpp>

namespace moesaic::inline MOESAIC_ABI {

/// The most rows that `slots` slots of `experts` experts can take when each expert's rows are padded to a multiple of `block`: what the
/// arrays of such a layout must hold, for the token counts stay on the device. Some choice of experts needs all of them. 0 without slots.
MOESAIC_HD constexpr std::int64_t padded_capacity(std::int64_t slots, std::int64_t experts, std::int64_t block) {
  std::int64_t const busy = slots < experts ? slots : experts;  // experts that may have a row; each wastes block − 1 at most
  return (slots + busy * (block - 1)) / block * block;
}

/// Part e of a padded layout: the rows of expert e, or for e = experts what lies behind the last expert, which has no rows.
struct padded_part {
  std::int64_t first;   ///< where it starts in the padded order, a multiple of the block
  std::int64_t size;    ///< its rows with their padding; behind the last expert: up to the capacity
  std::int32_t source;  ///< where it starts in the map's order …
  std::int32_t rows;    ///< … and how many rows it has
};

/// Every part sums the counts before its own, so that parts need neither each other nor memory for the sums.
MOESAIC_INLINE padded_part part_of(dispatch_map const& map, std::int64_t e, std::int32_t block, std::int64_t capacity) {
  padded_part p{0, 0, map.expert_offsets[e], 0};
  std::int64_t blocks = 0;
  for (std::int64_t i = 0; i < e; ++i) blocks += (map.expert_offsets[i + 1] - map.expert_offsets[i] + (block - 1)) / block;
  p.first = blocks * block;
  if (e < map.experts) {
    p.rows = map.expert_offsets[e + 1] - p.source;
    p.size = align_up(p.rows, block);
  } else {
    p.size = capacity - p.first;
  }
  return p;
}

/// −1 to each slot that has no row; parts of layouts write the others.
template <group G, class Index>
MOESAIC_INLINE void mark_slots_without_row(G const& g, dispatch_map const& map, std::int32_t* out, Index const& at) {
  std::int32_t const* const row = map.slot_to_row;
  g.for_each(static_cast<int>(map.tokens * map.top_k), [=](int slot) {
    if (row[slot] < 0) out[at(slot)] = -1;
  });
}

}  // namespace moesaic::inline MOESAIC_ABI
