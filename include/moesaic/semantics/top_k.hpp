// The K best of n keys, and the one tie rule of the library: the lowest index wins.
#pragma once

#include <cstdint>

#include <moesaic/semantics/group.hpp>
#include <moesaic/semantics/key.hpp>

namespace moesaic::inline MOESAIC_ABI {

/// Writes the indices of the k largest keys to ids[0 … k), best first, ties to the lowest index, and answers how many of them were usable
/// (had a key other than no_key). The rest of ids is filled with the lowest indices not yet used, so that ids are always distinct and in
/// [0, n). Requires k ≤ n. `keys` and `ids` lie in the group's scratch; the winners' keys become no_key.
template <group G>
MOESAIC_INLINE int top_k(G const& g, std::uint32_t* keys, int n, int k, std::int32_t* ids) {
  int usable = 0;
  for (; usable < k; ++usable) {
    std::uint32_t const best = g.max(n, [=](int i) { return keys[i]; });
    if (best == no_key) break;
    std::uint32_t const none = static_cast<std::uint32_t>(n);
    std::uint32_t const id = g.min(n, [=](int i) { return keys[i] == best ? static_cast<std::uint32_t>(i) : none; });
    g.single([=] {
      ids[usable] = static_cast<std::int32_t>(id);
      keys[id] = no_key;
    });
  }
  if (usable < k) {
    g.single([=] {
      std::int32_t candidate = 0;
      for (int filled = usable; filled < k; ++candidate) {
        bool used = false;
        for (int j = 0; j < filled; ++j) used = used || ids[j] == candidate;
        if (!used) ids[filled++] = candidate;
      }
    });
  }
  return usable;
}

}  // namespace moesaic::inline MOESAIC_ABI
