// Step 2: the dispatch map. Tokens chose experts; an expert wants its tokens side by side. The map says who lies where, both ways.
#include <cstdint>
#include <cstdio>
#include <moesaic/cpu.hpp>

int main() {
  constexpr int tokens = 4, top_k = 2, experts = 4, slots = tokens * top_k;

  // What a router wrote: token t's k-th expert stands in slot t · top_k + k. An id that is no expert of ours (one on another machine, say)
  // gets no row.
  std::int32_t ids[slots] = {2, 0, /**/ 0, 3, /**/ 2, -1, /**/ 3, 2};
  float weights[slots] = {};  // the map does not look at them
  moesaic::topk_choice const choice{ids, weights, tokens, top_k};

  std::int32_t offsets[experts + 1], row_to_slot[slots], slot_to_row[slots];
  moesaic::dispatch_map const map{offsets, row_to_slot, slot_to_row, tokens, top_k, experts};
  moesaic::cpu::on const here{moesaic::cpu::serial_pool{}};
  moesaic::status const s = moesaic::make_dispatch_map(here, choice, map);
  if (!s) return std::puts(moesaic::describe(s).c_str()), 1;

  auto const line = [](char const* name, int n, auto const& value) {
    std::printf("%-16s", name);
    for (int i = 0; i < n; ++i) std::printf("%4d", value(i));
    std::puts("");
  };
  std::puts("what the router wrote");
  line("  slot", slots, [](int i) { return i; });
  line("  token", slots, [](int i) { return i / top_k; });
  line("  expert", slots, [&](int i) { return ids[i]; });
  line("  slot_to_row", slots, [&](int i) { return slot_to_row[i]; });
  std::puts("\nthe same pairs, sorted by expert");
  line("  row", slots, [](int i) { return i; });
  line("  row_to_slot", slots, [&](int i) { return row_to_slot[i]; });
  line("  token", slots, [&](int i) { return row_to_slot[i] < 0 ? -1 : row_to_slot[i] / top_k; });
  std::puts("\nwho owns which rows");
  line("  expert_offsets", experts + 1, [&](int i) { return offsets[i]; });
  for (int e = 0; e < experts; ++e) {
    std::printf("  expert %d:", e);
    for (int row = 0; row < slots; ++row) std::printf("%s", row >= offsets[e] && row < offsets[e + 1] ? " #" : " .");
    std::puts("");
  }

  // By hand: go through the slots once for each expert.
  int row = 0;
  bool same = offsets[0] == 0;
  for (int e = 0; e < experts; ++e) {
    for (int slot = 0; slot < slots; ++slot)
      if (ids[slot] == e) {
        same = same && row_to_slot[row] == slot && slot_to_row[slot] == row;
        ++row;
      }
    same = same && offsets[e + 1] == row;
  }
  std::puts(same ? "\nby hand: the same" : "\nby hand: NOT the same");
  return same ? 0 : 1;
}
