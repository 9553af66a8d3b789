// The packed layout: what pack copies where.
#include <gtest/gtest.h>

#include <cstring>

#include "packed.hpp"

namespace {

using namespace moesaic;

TEST(cpu_pack, strips_hold_16_rows_in_groups_of_four_columns_and_pad_with_zero) {
  packed const p(2, 72, 42, 1);
  for (int e = 0; e < 2; ++e)
    for (std::int64_t r = 0; r < 80; ++r)
      for (std::int64_t c = 0; c < 44; ++c) {
        std::uint8_t const expected = r < 72 && c < 42 ? p.source.codes[e][r * 42 + c] : std::uint8_t{0};
        std::uint8_t const* const group = p.to.strip_codes(e, r / 16) + c / 4 * 64;
        ASSERT_EQ(group[cpu::place_in_group<fp8>(static_cast<int>(r % 16), static_cast<int>(c % 4))], expected) << r << ", " << c;
      }
}

/// Random bytes at a multiple of 64 and `past` more; 64 more behind them, which nobody may touch.
class random_bytes {
 public:
  random_bytes(std::size_t n, std::uint64_t seed, std::size_t past = 0) : n_(n), all_(n + 192) {
    oracle::random random{seed};
    for (auto& b : all_) b = static_cast<unsigned char>(random.below(256));
    at_ = (64 - reinterpret_cast<std::uintptr_t>(all_.data()) % 64) % 64 + past;
    before_ = all_;
  }
  random_bytes(random_bytes const&) = delete;

  std::size_t size() const { return n_; }
  void* data() { return all_.data() + at_; }
  template <class T>
  T* as() {
    return reinterpret_cast<T*>(data());
  }
  std::vector<unsigned char> bytes() const { return {all_.data() + at_, all_.data() + at_ + n_}; }
  bool surroundings_untouched() const {
    std::size_t const end = at_ + n_;
    return std::memcmp(all_.data(), before_.data(), at_) == 0 && std::memcmp(&all_[end], &before_[end], all_.size() - end) == 0;
  }
  bool untouched() const { return all_ == before_; }

 private:
  std::size_t n_, at_;
  std::vector<unsigned char> all_, before_;
};

/// By the definition of the layout, an element at a time.
template <weight_format F>
std::vector<unsigned char> packed_by_definition(weight_matrices<F> const& from) {
  using code = weight_code_t<F>;
  cpu::packed_matrices<F> const shape{from.experts, from.n, from.k};
  std::vector<unsigned char> to(shape.code_bytes());
  for (int e = 0; e < from.experts; ++e)
    for (std::int64_t r = 0; r < from.n; ++r)
      for (std::int64_t c = 0; c < from.k; ++c) {
        std::int64_t const group = ((e * shape.strips() + r / 16) * shape.groups() + c / 4) * 64;
        auto const place = group + cpu::place_in_group<F>(static_cast<int>(r % 16), static_cast<int>(c % 4));
        std::memcpy(&to[static_cast<std::size_t>(place) * sizeof(code)], from.row(e, r) + c, sizeof(code));
      }
  return to;
}

template <weight_format F>
struct format {
  static constexpr weight_format value = F;
};
template <class>
struct cpu_pack_format : testing::Test {};
using formats = testing::Types<format<weight_format::e4m3_128x128>, format<weight_format::bf16>, format<weight_format::f32>>;
TYPED_TEST_SUITE(cpu_pack_format, formats);

TYPED_TEST(cpu_pack_format, puts_every_element_in_its_place_whatever_the_shape) {
  constexpr weight_format F = TypeParam::value;
  using code = weight_code_t<F>;
  for (std::int64_t const n : {1, 15, 16, 17, 32, 43, 144})
    for (std::int64_t const k : {1, 2, 3, 4, 5, 15, 16, 17, 30, 32, 33, 60, 62, 63, 64, 65, 66, 68, 127, 128, 130, 192})
      for (std::int64_t const gap : {0, 3}) {
        std::int64_t const stride = k + gap, rows = n * stride, grid = ceil_div(n, 128) * ceil_div(k, 128);
        // Rows need no more than the alignment of their element.
        random_bytes from(static_cast<std::size_t>(2 * rows) * sizeof(code), 1, sizeof(code)),
            grids(static_cast<std::size_t>(2 * grid) * 4, 2);
        cpu::packed_matrices<F> to{2, n, k};
        random_bytes codes(to.code_bytes(), 3), scales(to.scale_bytes(), 4);
        to.codes = codes.as<code>();
        to.scales = scales.as<float>();
        weight_matrices<F> const w{2, n, k, {from.as<code>(), rows}, {grids.as<float>(), grid}, gap != 0 ? stride : 0};
        cpu::serial_pool threads;
        cpu::pack(threads, w, to);
        ASSERT_EQ(codes.bytes(), packed_by_definition(w)) << n << " x " << k << ", rows " << stride << " apart";
        ASSERT_TRUE(codes.surroundings_untouched() && from.untouched()) << n << " x " << k;
        if constexpr (F == fp8)
          ASSERT_EQ(std::memcmp(to.scales, grids.data(), grids.size()), 0) << n << " x " << k;
        else
          ASSERT_TRUE(scales.untouched());
      }
}

}  // namespace
