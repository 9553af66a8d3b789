// The dispatch map: which row of the expert-sorted order belongs to which (token, k).
#pragma once

#include <cstdint>

#include <moesaic/semantics/bin_stable.hpp>
#include <moesaic/semantics/handoff.hpp>

namespace moesaic::inline MOESAIC_ABI {

/// Fills every entry of `map` from `ids` [tokens · top_k]; an id outside [0, experts) has no row, nor has a slot of a token behind the
/// first *valid_tokens (null: all are valid). One group does the whole map.
struct build_dispatch_map {
  struct scratch {};

  std::int32_t const* ids;
  dispatch_map map;
  std::int32_t const* valid_tokens;

  template <group G>
  MOESAIC_HD void operator()(G const& g, std::int64_t, scratch&) const {
    std::int64_t const slots = map.tokens * map.top_k;
    std::int32_t const* const id = ids;
    dispatch_map const m = map;
    std::int64_t const valid = valid_tokens != nullptr && *valid_tokens < m.tokens ? std::int64_t{*valid_tokens} * m.top_k : slots;
    g.for_each(static_cast<int>(slots), [m](int i) {
      m.slot_to_row[i] = -1;
      m.row_to_slot[i] = -1;
    });
    // NOLINTNEXTLINE(clang-analyzer-core.NullDereference): make_dispatch_map has refused null ids
    auto const expert = [id, valid](std::int64_t i) { return i < valid ? id[i] : -1; };
    bin_stable(g, slots, m.experts, expert, m.expert_offsets, [m](std::int64_t slot, std::int32_t row) {
      m.slot_to_row[slot] = row;
      m.row_to_slot[row] = static_cast<std::int32_t>(slot);
    });
  }
};

}  // namespace moesaic::inline MOESAIC_ABI
