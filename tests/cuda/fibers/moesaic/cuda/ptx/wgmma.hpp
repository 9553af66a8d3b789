// The stand-in for the header of the same name: products are made when they are waited for, from what shared memory holds then. They and
// their sums are exact here, and then cut as mma_sync.hpp beside it cuts them.
#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include <moesaic/cuda/ptx/mma_sync.hpp>
#include <moesaic/cuda/ptx/tma.hpp>
#include <moesaic/num/bf16.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::ptx {

inline constexpr std::uint64_t descriptor_high = (std::uint64_t{1} << 62 | std::uint64_t{1024 >> 4} << 32);
constexpr std::uint32_t descriptor_low(std::uint32_t shared_address) { return 1U << 16 | (shared_address & 0x3ffffU) >> 4; }
inline std::uint64_t wgmma_descriptor(void const* tile) { return descriptor_high | descriptor_low(shared_address(tile)); }

namespace detail {

/// d (+)= a [64, 32 bytes] · b [width, 32 bytes]ᵀ, this thread's part.
struct product {
  float* d;
  std::uint64_t a, b;
  int width, accumulate;
  bool of_codes;
};
/// Of each thread of the group that runs: asked for, and committed.
struct products_under_way {
  std::vector<product> all;
  std::size_t committed = 0;
};
inline products_under_way& products_of_thread() {
  static std::map<std::pair<unsigned, unsigned>, products_under_way> all;
  return all[{blockIdx.x, threadIdx.x}];
}

/// The 32 bytes of row r of an operand.
inline void read_operand(std::uint64_t descriptor, int r, unsigned char (&bytes)[32]) {
  if (descriptor >> 32 != descriptor_high >> 32) ::fibers::fail("a descriptor of another kind of operand");
  std::uint32_t const first = (static_cast<std::uint32_t>(descriptor) & 0x3fffU) << 4;
  for (std::uint32_t c = 0; c < 32; c += 16)
    std::memcpy(
        bytes + c,
        ::fibers::shared_at(swizzled(first + static_cast<std::uint32_t>(r / 8) * 1024 + static_cast<std::uint32_t>(r % 8) * 128 + c)), 16);
}

struct wgmma_row {
  double value[32];
  int count;

  wgmma_row(std::uint64_t descriptor, int r, bool of_codes) : count(of_codes ? 32 : 16) {
    static auto const codes = [] {
      std::vector<double> v(256);
      for (unsigned c = 0; c < 256; ++c) v[c] = static_cast<double>(e4m3_to_float(static_cast<std::uint8_t>(c)));
      return v;
    }();
    unsigned char bytes[32];
    read_operand(descriptor, r, bytes);
    for (int i = 0; i < count; ++i)
      value[i] = of_codes ? codes[bytes[i]]
                          : static_cast<double>(from_bits(static_cast<std::uint32_t>(bytes[2 * i + 1]) << 24 |
                                                          static_cast<std::uint32_t>(bytes[2 * i]) << 16));
  }
};

inline void multiply(product const& p) {
  int const thread = static_cast<int>(threadIdx.x % 128), first_row = thread / 32 * 16 + thread % 32 / 4;
  wgmma_row const rows[2] = {{p.a, first_row, p.of_codes}, {p.a, first_row + 8, p.of_codes}};
  for (int c = 0; c < p.width / 8; ++c)
    for (int i = 0; i < 2; ++i) {
      wgmma_row const column(p.b, 8 * c + thread % 4 * 2 + i, p.of_codes);
      for (int h = 0; h < 2; ++h) {
        float& d = p.d[4 * c + 2 * h + i];
        double sum = p.accumulate != 0 ? static_cast<double>(d) : 0.0;
        for (int k = 0; k < column.count; ++k) sum += rows[h].value[k] * column.value[k];
        d = cut(sum);
      }
    }
}

inline void issue(product const& p) { products_of_thread().all.push_back(p); }

}  // namespace detail

inline void wgmma_fence() {}
inline void wgmma_commit() {
  detail::products_under_way& mine = detail::products_of_thread();
  mine.committed = mine.all.size();
}
template <int Pending>
inline void wgmma_wait() {
  static_assert(Pending == 0, "the stand-in has one group under way");
  detail::products_under_way& mine = detail::products_of_thread();
  if (mine.committed != mine.all.size()) ::fibers::fail("waits for products that are not committed");
  for (detail::product const& p : mine.all) detail::multiply(p);
  mine.all.clear();
  mine.committed = 0;
  ::fibers::meet(~0U, "wgmma.wait_group");  // no lane goes on while another still reads
}
template <int Count>
inline void wgmma_touch(float (&)[Count]) {}

template <int Width>
struct wgmma_e4m3 {
  static void issue(float (&d)[Width / 2], std::uint64_t a, std::uint64_t b, int accumulate) {
    detail::issue({d, a, b, Width, accumulate, true});
  }
};
template <int Width>
struct wgmma_bf16 {
  static void issue(float (&d)[Width / 2], std::uint64_t a, std::uint64_t b, int accumulate) {
    detail::issue({d, a, b, Width, accumulate, false});
  }
};

}  // namespace moesaic::inline MOESAIC_ABI::cuda::ptx
