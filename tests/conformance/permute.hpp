// Permute: an exact copy of every row that exists, and nothing else.
#pragma once

#include <moesaic/pipeline/stages.hpp>
#include <oracle/stages.hpp>

#include "map.hpp"

namespace conformance {

struct permute_case {
  moesaic::dispatch_map map;
  std::int64_t cols;
  bool gaps;  // rows of x and out have room behind them
};

// Row r of out, or −1 where it is nobody's.
inline std::int64_t source_token(permute_case const& p, std::int64_t row) {
  std::int32_t const slot = p.map.row_to_slot[row];
  return slot < 0 ? -1 : slot / p.map.top_k;
}

template <class T>
void check_permute(stamp::context_type const& ctx, permute_case const& p, oracle::random r) {
  std::int64_t const rows = p.map.tokens * p.map.top_k;
  std::int64_t const x_stride = p.cols + (p.gaps ? 8 : 0), out_stride = p.cols + (p.gaps ? 16 : 0);
  buffer<T> const x(p.map.tokens * x_stride), out(rows * out_stride);
  for (T& v : x) {  // any bits: a copy is a copy
    std::uint64_t const any = r.bits();
    std::memcpy(&v, &any, sizeof(T));
  }
  need(moesaic::permute(ctx, moesaic::matrix_view<T const>(x.data(), p.map.tokens, p.cols, x_stride), p.map,
                        moesaic::matrix_view<T>(out.data(), rows, p.cols, out_stride)));
  stamp::finish();
  for (std::int64_t row = 0; row < rows; ++row) {
    std::int64_t const token = source_token(p, row);
    if (token >= 0)
      ASSERT_EQ(std::memcmp(&out[row * out_stride], &x[token * x_stride], static_cast<std::size_t>(p.cols) * sizeof(T)), 0)
          << "row " << row;
    else
      ASSERT_TRUE(out.is_untouched(row * out_stride, p.cols)) << "row " << row;
    ASSERT_TRUE(out.is_untouched(row * out_stride + p.cols, out_stride - p.cols)) << "behind row " << row;
  }
}

template <class Scale>
void check_permute_quantized(stamp::context_type const& ctx, permute_case const& p, oracle::random r) {
  std::int64_t const rows = p.map.tokens * p.map.top_k, blocks = moesaic::ceil_div(p.cols, 128);
  buffer<std::uint8_t> const codes(p.map.tokens * p.cols), out_codes(rows * p.cols);
  buffer<Scale> const scales(blocks * moesaic::align_up(p.map.tokens, 4)), out_scales(blocks * moesaic::align_up(rows, 4));
  for (std::uint8_t& v : codes) v = static_cast<std::uint8_t>(r.bits());
  for (Scale& v : scales) v = static_cast<Scale>(r.below(255));
  moesaic::quantized_rows<Scale> const x(codes.data(), scales.data(), p.map.tokens, p.cols),
      out(out_codes.data(), out_scales.data(), rows, p.cols);
  need(moesaic::permute(ctx, x, p.map, out));
  stamp::finish();
  for (std::int64_t row = 0; row < rows; ++row) {
    std::int64_t const token = source_token(p, row);
    if (token >= 0)
      ASSERT_TRUE(same_bits(&out_codes[row * p.cols], &codes[token * p.cols], p.cols)) << "row " << row;
    else
      ASSERT_TRUE(out_codes.is_untouched(row * p.cols, p.cols)) << "row " << row;
    for (std::int64_t b = 0; b < blocks; ++b) {
      if (token >= 0)
        ASSERT_EQ(bits(out.scale(b, row)), bits(x.scale(b, token))) << "row " << row;
      else
        ASSERT_TRUE(out_scales.is_untouched(b * out.scale_stride + row)) << "row " << row;
    }
  }
}

TEST(permute, copies_the_rows_that_exist_and_nothing_else) {
  constexpr std::int64_t widths[] = {8, 40, 136, 192};
  for_each_router_case([&](int router, moesaic::moe_config const& c, pattern p, std::int64_t tokens, router_input const& in) {
    map_buffers const map(oracle::sort_slots(make_ids(router, c, p, tokens, in), c.experts));
    int const mix = router + static_cast<int>(p);
    permute_case const one{map.view(tokens, c.top_k), widths[mix / 5 % 4], mix % 2 == 1};
    oracle::random const r = random_for(3, static_cast<std::uint64_t>(router), static_cast<std::uint64_t>(p));
    for_each_setting([&](stamp::context_type const& ctx) {
      switch (mix % 5) {
        case 0: check_permute<float>(ctx, one, r); break;
        case 1: check_permute<bf16>(ctx, one, r); break;
        case 2: check_permute<fp16>(ctx, one, r); break;
        case 3: check_permute_quantized<float>(ctx, one, r); break;
        case 4: check_permute_quantized<std::uint8_t>(ctx, one, r); break;
      }
      report().count("permute (router, pattern, setting)");
    });
  });
}

}  // namespace conformance
