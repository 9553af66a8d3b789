// The packed layout: what pack copies, and what pack_in_place makes of rows where they lie.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>

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
  bool touched(std::int64_t from, std::int64_t n) const {
    std::size_t const i = at_ + static_cast<std::size_t>(from);
    return std::memcmp(&all_[i], &before_[i], static_cast<std::size_t>(n)) != 0;
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

/// The last item first, to have another order than serial_pool.
struct backward_pool {
  std::int64_t items = 0;
  template <class F>
  void parallel_for(std::int64_t n, F const& f) {
    items = n;
    while (n-- > 0) f(n);
  }
};

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

TYPED_TEST(cpu_pack_format, takes_experts_one_by_one) {
  constexpr weight_format F = TypeParam::value;
  using code = weight_code_t<F>;
  constexpr std::int64_t n = 130, k = 140, grid = 4;
  random_bytes from(3 * n * k * sizeof(code), 5), grids(3 * grid * 4, 6);
  cpu::packed_matrices<F> to{3, n, k};
  random_bytes codes(to.code_bytes(), 7), scales(to.scale_bytes(), 8);
  to.codes = codes.as<code>();
  if (F == fp8) to.scales = scales.as<float>();
  cpu::serial_pool threads;
  for (int const e : {2, 0, 1}) {
    weight_matrices<F> const one{1, n, k, {from.as<code>() + e * n * k}, {grids.as<float>() + e * grid}};
    cpu::pack(threads, one, to.expert(e));
  }
  EXPECT_EQ(codes.bytes(), packed_by_definition(weight_matrices<F>{3, n, k, {from.as<code>(), n * k}}));
  if constexpr (F == fp8) {
    EXPECT_EQ(std::memcmp(to.scales, grids.data(), grids.size()), 0);
  }
}

TYPED_TEST(cpu_pack_format, packs_in_place_what_it_packs_elsewhere) {
  constexpr weight_format F = TypeParam::value;
  using code = weight_code_t<F>;
  for (std::int64_t const n : {16, 48, 144})
    for (std::int64_t const k : {4, 12, 16, 60, 64, 68, 128, 196}) {
      cpu::packed_matrices<F> const shape{3, n, k};
      std::int64_t const strips = 3 * n / 16;
      auto const strip_bytes = static_cast<std::int64_t>(shape.strip_bytes());
      ASSERT_EQ(shape.code_bytes(), static_cast<std::size_t>(3 * n * k) * sizeof(code));
      for (std::int64_t const scratch_bytes : {strip_bytes, 2 * strip_bytes - 1, 2 * strip_bytes, 7 * strip_bytes, 40 * strip_bytes}) {
        random_bytes codes(shape.code_bytes(), 9), scratch(static_cast<std::size_t>(scratch_bytes), 10);
        std::vector<unsigned char> const right = packed_by_definition(weight_matrices<F>{3, n, k, {codes.as<code>(), n * k}});
        cpu::packed_matrices<F> const matrices{3, n, k, codes.as<code>()};
        backward_pool threads;
        status const s = cpu::pack_in_place(threads, matrices, {scratch.data(), scratch.size()});
        ASSERT_TRUE(s) << describe(s).c_str();
        ASSERT_EQ(codes.bytes(), right) << n << " x " << k << " through " << scratch_bytes << " bytes";
        ASSERT_TRUE(codes.surroundings_untouched() && scratch.surroundings_untouched()) << n << " x " << k;
        ASSERT_EQ(threads.items, std::min(strips, scratch_bytes / strip_bytes));
        for (std::int64_t i = 0; i < threads.items; ++i)
          ASSERT_TRUE(scratch.touched(i * strip_bytes, strip_bytes)) << "each item has a strip of scratch to itself";
      }
    }
}

TEST(cpu_pack, in_place_names_a_wrong_argument_and_writes_nothing) {
  struct call {
    cpu::packed_matrices<fp8> matrices;
    memory scratch;
    status operator()() const {
      cpu::serial_pool threads;
      return cpu::pack_in_place(threads, matrices, scratch);
    }
  };
  struct wrong {
    void (*spoil)(call&);
    std::string says;
  };
  random_bytes codes(2 * 32 * 72, 11), scratch(16 * 72, 12);
  call const right{{2, 32, 72, codes.as<std::uint8_t>()}, {scratch.data(), 16 * 72}};
  auto const said = [](call const& c) { return std::string(describe(c()).c_str()); };
  for (wrong const& way : {
           wrong{[](call& c) { c.matrices.experts = -1; }, "matrices.experts is -1, expected at least 0"},
           wrong{[](call& c) { c.matrices.n = -16; }, "matrices.n is -16, expected at least 0"},
           wrong{[](call& c) { c.matrices.n = 31; }, "matrices.n is 31, expected 32"},
           wrong{[](call& c) { c.matrices.n = 24; }, "matrices.n is 24, expected 32"},
           wrong{[](call& c) { c.matrices.k = -4; }, "matrices.k is -4, expected at least 0"},
           wrong{[](call& c) { c.matrices.k = 70; }, "matrices.k is 70, expected 72"},
           wrong{[](call& c) { c.matrices.k = 76; }, "scratch holds 1152 bytes, needed are 1216"},
           wrong{[](call& c) { c.matrices.codes = nullptr; }, "matrices.codes is null"},
           wrong{[](call& c) { c.matrices.codes += 16; }, "matrices.codes is 16 bytes past a multiple of 64"},
           wrong{[](call& c) { c.scratch.bytes = 1151; }, "scratch holds 1151 bytes, needed are 1152"},
           wrong{[](call& c) { c.scratch = {}; }, "scratch holds 0 bytes, needed are 1152"},
           wrong{[](call& c) { c.scratch.data = nullptr; }, "scratch.data is null"},
           wrong{[](call& c) { c.scratch.data = static_cast<std::byte*>(c.scratch.data) + 32; },
                 "scratch.data is 32 bytes past a multiple of 64"},
           wrong{[](call& c) {
                   c = {{0, 32, 72}, {}};
                 },
                 "ok"},  // nothing to pack needs no memory
           wrong{[](call& c) {
                   c = {{2, 0, 72}, {}};
                 },
                 "ok"},
           wrong{[](call& c) {
                   c = {{2, 32, 0}, {}};
                 },
                 "ok"},
       }) {
    call c = right;
    way.spoil(c);
    EXPECT_EQ(said(c), way.says);
    EXPECT_TRUE(codes.untouched() && scratch.untouched()) << way.says;
  }
  EXPECT_EQ(said(right), "ok");
  EXPECT_FALSE(codes.untouched());
}

}  // namespace
