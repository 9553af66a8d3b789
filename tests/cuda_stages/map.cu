// build_dispatch_map: one block, a cluster, more slots than registers hold; ids of every kind.
#include <moesaic/cuda/map.hpp>

#include "harness.hpp"

namespace stages {

using namespace moesaic;

int total_checks() { return checks; }
int total_failures() { return failures; }
char const* no_device() {
  int devices = 0;
  cudaError_t const e = cudaGetDeviceCount(&devices);
  return e != cudaSuccess ? cudaGetErrorString(e) : devices == 0 ? "no device" : nullptr;
}

namespace {

enum class ids_are { uniform, one_expert, skewed, wild, ascending, nobodys };
constexpr char const* kinds[] = {"uniform", "one expert", "skewed", "wild", "ascending", "nobody's"};

void one(std::int64_t tokens, int top_k, int experts, ids_are kind, int valid, bool with_valid) {
  std::size_t const slots = static_cast<std::size_t>(tokens * top_k);
  array<std::int32_t> ids(slots), offsets(static_cast<std::size_t>(experts) + 1), row_to_slot(slots), slot_to_row(slots), valid_tokens(1);
  random r{slots * 31 + static_cast<std::uint64_t>(experts) * 7 + static_cast<std::uint64_t>(kind)};
  for (std::size_t i = 0; i < slots; ++i) {
    int id = r.below(experts > 0 ? experts : 1);
    if (kind == ids_are::one_expert) id = experts / 2;
    if (kind == ids_are::skewed) id = r.below(4) != 0 ? experts - 1 : id;
    if (kind == ids_are::wild) {
      int const nasty[] = {-1, experts, 0x7fffffff, static_cast<int>(0x80000000U), experts + 1, -2};
      if (r.below(3) == 0) id = nasty[r.below(6)];
    }
    if (kind == ids_are::ascending) id = static_cast<int>(i * static_cast<std::size_t>(experts) / slots);
    if (kind == ids_are::nobodys) id = -1;
    ids[i] = id;
  }
  valid_tokens[0] = valid;
  ids.upload();
  valid_tokens.upload();
  auto const make = [&](auto const& at) {
    return build_dispatch_map{
        at(ids), {at(offsets), at(row_to_slot), at(slot_to_row), tokens, top_k, experts}, with_valid ? at(valid_tokens) : nullptr};
  };
  check(text("map T=", tokens, " K=", top_k, " E=", experts, " ", kinds[static_cast<int>(kind)],
             with_valid ? text(" valid=", valid) : std::string()),
        1, make, output("expert_offsets", offsets), output("row_to_slot", row_to_slot), output("slot_to_row", slot_to_row));
}

}  // namespace

void check_map() {
  struct {
    std::int64_t tokens;
    int top_k;
  } const shapes[] = {{0, 8},    {1, 1},    {1, 8},    {3, 5},    {4, 8},    {5, 8},      {64, 8},     {63, 6},
                      {128, 8},  {129, 8},  {511, 8},  {512, 8},  {513, 8},  {1024, 8},   {1025, 8},   {2000, 6},
                      {4096, 8}, {4097, 8}, {8191, 8}, {8192, 8}, {8193, 8}, {20000, 12}, {131072, 1}, {100003, 8}};
  for (auto const& s : shapes) {
    if (on_fibers && s.tokens * s.top_k > 140000) continue;
    bool const large = s.tokens * s.top_k > 20000;
    for (int const experts : {1, 2, 7, 16, 64, 160, 256, 257, 384, 512, 768, 1000, 3000, 5000}) {
      if (s.tokens * s.top_k > 100000 && experts != 1 && experts != 256 && experts != 384) continue;
      if (on_fibers && ((large && experts != 256 && experts != 384) || (experts == 5000 && s.tokens > 64))) continue;
      for (ids_are const kind :
           {ids_are::uniform, ids_are::one_expert, ids_are::skewed, ids_are::wild, ids_are::ascending, ids_are::nobodys})
        one(s.tokens, s.top_k, experts, kind, 0, false);
      for (int const valid : {-3, 0, 1, static_cast<int>(s.tokens / 2), static_cast<int>(s.tokens), static_cast<int>(s.tokens) + 5})
        one(s.tokens, s.top_k, experts, ids_are::wild, valid, true);
    }
  }
  one(7, 3, 0, ids_are::wild, 0, false);
}

}  // namespace stages
