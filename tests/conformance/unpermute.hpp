// The weighted sum of a token's rows: fma in slot order, then shared, then residual, then one rounding, bit for bit.
#pragma once

#include <moesaic/pipeline/stages.hpp>
#include <oracle/stages.hpp>

#include "map.hpp"

namespace conformance {

template <class Y>
void check_unpermute(std::int64_t tokens, int top_k, std::int64_t cols, bool with_shared, bool with_residual, bool in_place) {
  constexpr int experts = 16;
  SCOPED_TRACE(std::to_string(tokens) + " tokens, " + std::to_string(top_k) + " experts each, " + std::to_string(cols) + " columns");
  oracle::random r = random_for(7, static_cast<std::uint64_t>(tokens * 100 + top_k), static_cast<std::uint64_t>(cols));
  std::int64_t const slots = tokens * top_k, y_stride = cols + 8, p_stride = cols + 4;
  std::vector<std::int32_t> ids;
  for (std::int64_t i = 0; i < slots; ++i) ids.push_back(r.below(8) == 0 || i / top_k == 2 ? -1 : r.below(experts));  // token 2 has no row
  map_buffers const map(oracle::sort_slots(ids, experts));
  buffer<float> const partials(slots * p_stride), weights(slots), shared(tokens * cols);
  for (float& v : partials) v = r.normal();
  for (float& v : shared) v = r.normal();
  for (float& v : weights) v = static_cast<float>(r.uniform());
  for (std::int64_t row = map.expert_offsets[experts]; row < slots; ++row)
    for (std::int64_t c = 0; c < cols; ++c) partials[row * p_stride + c] = NAN;  // nobody's rows, nobody's numbers
  buffer<Y> const residual(tokens * y_stride);
  for (Y& v : residual) v = rounded<Y>(static_cast<double>(r.normal()));

  buffer<Y> const right(tokens * y_stride);
  for (std::int64_t t = 0; t < tokens; ++t) {
    std::vector<float> w(&weights[t * top_k], &weights[t * top_k] + top_k), wide;
    std::vector<float const*> rows;
    for (int k = 0; k < top_k; ++k) {
      std::int32_t const row = map.slot_to_row[t * top_k + k];
      rows.push_back(row < 0 ? nullptr : &partials[row * p_stride]);
    }
    for (std::int64_t c = 0; c < cols; ++c) wide.push_back(static_cast<float>(value(residual[t * y_stride + c])));
    for (int c = 0; c < cols; ++c)
      right[t * y_stride + c] = rounded<Y>(static_cast<double>(
          oracle::combine(w, rows, c, with_shared ? &shared[t * cols] : nullptr, with_residual ? wide.data() : nullptr)));
  }

  for_each_setting([&](stamp::context_type const& ctx) {
    buffer<Y> const y = in_place ? buffer<Y>(residual) : buffer<Y>(tokens * y_stride);
    moesaic::matrix_view<Y> const out(y.data(), tokens, cols, y_stride);
    moesaic::matrix_view<Y const> const from(in_place ? y.data() : residual.data(), tokens, cols, y_stride);
    need(moesaic::unpermute(
        ctx, moesaic::matrix_view<float const>(partials.data(), slots, cols, p_stride), map.view(tokens, top_k),
        {ids.data(), weights.data(), tokens, top_k}, out,
        {.shared = with_shared ? moesaic::matrix_view<float const>(shared.data(), tokens, cols) : moesaic::matrix_view<float const>{},
         .residual = with_residual ? from : moesaic::matrix_view<Y const>{}}));
    stamp::finish();
    for (std::int64_t t = 0; t < tokens; ++t) {
      ASSERT_TRUE(same_bits(&y[t * y_stride], &right[t * y_stride], cols)) << "token " << t;
      if (!in_place) {
        ASSERT_TRUE(y.is_untouched(t * y_stride + cols, y_stride - cols)) << "behind token " << t;
      }
    }
    report().count("unpermute (shape, type, operands, setting)");
  });
}

template <class Y>
void check_unpermute_all() {
  for (std::int64_t const tokens : {0, 1, 7, 64})
    for (int const top_k : {1, 2, 8, 22})
      for (std::int64_t const cols : {8, 40, 64, 192})
        for (bool const with_shared : {false, true}) {
          check_unpermute<Y>(tokens, top_k, cols, with_shared, false, false);
          check_unpermute<Y>(tokens, top_k, cols, with_shared, true, cols % 16 == 0);
        }
}

TEST(unpermute, to_f32_adds_by_fma_in_slot_order) { check_unpermute_all<float>(); }
TEST(unpermute, to_bf16_adds_by_fma_in_slot_order_and_rounds_once) { check_unpermute_all<bf16>(); }
TEST(unpermute, to_fp16_adds_by_fma_in_slot_order_and_rounds_once) { check_unpermute_all<fp16>(); }

}  // namespace conformance
