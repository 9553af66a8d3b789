// A stable sort of n items into few bins: the arithmetic behind the dispatch map.
#pragma once

#include <cstdint>

#include <moesaic/semantics/group.hpp>

namespace moesaic::inline MOESAIC_ABI {

/// bin_of(i) gives the bin of item i, or a value outside [0, bins) for an item that goes nowhere. Fills offsets[0 … bins] with the first
/// row of every bin and calls place(i, row) for each binned item; rows ascend by item inside a bin. Any group gives the same rows.
template <group G, class BinOf, class Place>
MOESAIC_INLINE void bin_stable(G const& g, std::int64_t n, int bins, BinOf const& bin_of, std::int32_t* offsets, Place const& place) {
  g.for_each(bins, [=](int b) {
    std::int32_t count = 0;
    for (std::int64_t i = 0; i < n; ++i) count += bin_of(i) == b ? 1 : 0;
    offsets[b + 1] = count;
  });
  g.single([=] {
    offsets[0] = 0;
    for (int b = 0; b < bins; ++b) offsets[b + 1] += offsets[b];
  });
  g.for_each(bins, [=](int b) {
    std::int32_t row = offsets[b];
    for (std::int64_t i = 0; i < n; ++i)
      if (bin_of(i) == b) place(i, row++);
  });
}

/// One thread need not look at every item once per bin: it counts, sums and places in n + bins steps.
template <class BinOf, class Place>
MOESAIC_HD inline void bin_stable(serial_group const&, std::int64_t n, int bins, BinOf const& bin_of, std::int32_t* offsets,
                                  Place const& place) {
  for (int b = 0; b <= bins; ++b) offsets[b] = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    std::int32_t const b = bin_of(i);
    if (b >= 0 && b < bins) ++offsets[b + 1];
  }
  for (int b = 0; b < bins; ++b) offsets[b + 1] += offsets[b];
  // offsets[b] serves as bin b's cursor and ends up at the start of bin b + 1; one shift puts every start back.
  for (std::int64_t i = 0; i < n; ++i) {
    std::int32_t const b = bin_of(i);
    if (b >= 0 && b < bins) place(i, offsets[b]++);
  }
  for (int b = bins; b > 0; --b) offsets[b] = offsets[b - 1];
  offsets[0] = 0;
}

}  // namespace moesaic::inline MOESAIC_ABI
