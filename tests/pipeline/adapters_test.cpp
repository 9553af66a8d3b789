// Every layout of pipeline/adapters.hpp, entry by entry, against one that is built from the ids alone by plain loops over plain vectors.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <moesaic/pipeline/adapters.hpp>
#include <random>
#include <string>
#include <vector>

#include "contexts.hpp"

namespace {

using namespace moesaic;
using ints = std::vector<std::int32_t>;

std::string text(status const& s) { return describe(s).c_str(); }
std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }

/// n numbers that nobody has written yet, and some behind them that nobody may write.
template <class T>
class array {
 public:
  explicit array(std::int64_t n) : n_(size(n)), values_(n_ + 64, T(-77)) {}
  explicit array(std::vector<T> const& from) : array(static_cast<std::int64_t>(from.size())) {
    std::copy(from.begin(), from.end(), values_.begin());
  }
  T* data() { return values_.data(); }
  /// What was written, and nothing behind it.
  std::vector<T> read() const {
    EXPECT_TRUE(std::all_of(values_.begin() + static_cast<std::ptrdiff_t>(n_), values_.end(), [](T v) { return v == T(-77); }));
    return {values_.begin(), values_.begin() + static_cast<std::ptrdiff_t>(n_)};
  }

 private:
  std::size_t n_;
  std::vector<T> values_;
};

/// Some tokens' ids, where each expert's slots come from without any of moesaic's code.
struct routing {
  int tokens, top_k, experts;
  ints ids;
  std::vector<ints> slots_of;  // ascending, per expert

  routing(int t, int k, int e, double dropped, bool crowded, unsigned seed) : tokens(t), top_k(k), experts(e), slots_of(size(e)) {
    std::mt19937 random(seed);
    for (int token = 0; token < t; ++token) {
      ints all;
      for (int i = 0; i < e; ++i) all.push_back(i);
      std::shuffle(all.begin() + (crowded ? k / 2 : 0), all.end(), random);  // crowded: the first experts have all tokens, most have none
      for (int i = 0; i < k; ++i) {
        bool const here = std::uniform_real_distribution<>(0, 1)(random) >= dropped;
        ids.push_back(here ? all[size(i)] : random() % 2 == 0 ? -1 : e + 3);
        if (here) slots_of[size(ids.back())].push_back(static_cast<std::int32_t>(ids.size() - 1));
      }
    }
  }
  int slots() const { return tokens * top_k; }
  std::string name() const {
    return std::to_string(tokens) + " tokens, " + std::to_string(top_k) + " of " + std::to_string(experts) + " experts";
  }
};

#ifdef MOESAIC_TEST_KOKKOS  // what teams could get wrong shows in fewer cases, and starting teams takes its time
constexpr int token_counts[] = {0, 9, 70};
constexpr double dropped_shares[] = {0.4};
#else
constexpr int token_counts[] = {0, 1, 2, 9, 70, 300};
constexpr double dropped_shares[] = {0.0, 0.4, 1.0};
#endif

void for_each_routing(std::function<void(routing const&)> const& f) {
  unsigned seed = 671;
  for (int const tokens : token_counts)
    for (auto const& [top_k, experts] : {std::pair{1, 1}, {1, 5}, {3, 3}, {4, 16}, {8, 256}})
      for (double const dropped : dropped_shares) {
        routing const r(tokens, top_k, experts, dropped, seed % 2 == 0, seed);
        SCOPED_TRACE(r.name());
        f(r);
        ++seed;
      }
}

/// The map under test's eyes, made by make_dispatch_map on the same backend.
struct mapped {
  routing r;
  array<std::int32_t> ids, offsets, row_to_slot, slot_to_row;
  dispatch_map map;

  template <class B>
  mapped(B const& ctx, routing const& given)
      : r(given), ids(r.ids), offsets(r.experts + 1), row_to_slot(r.slots()), slot_to_row(r.slots()), map{offsets.data(),
                                                                                                          row_to_slot.data(),
                                                                                                          slot_to_row.data(),
                                                                                                          r.tokens,
                                                                                                          r.top_k,
                                                                                                          r.experts} {
    EXPECT_EQ(text(make_dispatch_map(ctx, {ids.data(), nullptr, r.tokens, r.top_k}, map)), "ok");
    contexts::finish();
  }
};

template <class Layout>
void adapt_well(auto const& ctx, dispatch_map const& map, Layout const& layout) {
  ASSERT_EQ(text(adapt(ctx, map, layout)), "ok");
  contexts::finish();
}

void pad(ints& v, std::int64_t length, std::int32_t with) {
  ASSERT_LE(v.size(), size(length));
  v.resize(size(length), with);
}

TEST(padded_capacity, is_what_the_worst_choice_of_experts_takes) {
  for (std::int64_t const block : {1, 2, 3, 16, 128})
    for (std::int64_t experts = 1; experts < 7; ++experts)
      for (std::int64_t slots = 0; slots < 9; ++slots) {
        std::int64_t worst = 0;
        std::function<void(std::int64_t, std::int64_t, std::int64_t)> const deal = [&](std::int64_t e, std::int64_t left,
                                                                                       std::int64_t rows) {
          if (e == experts) return void(worst = left == 0 ? std::max(worst, rows) : worst);
          for (std::int64_t n = 0; n <= left; ++n) deal(e + 1, left - n, rows + (n + block - 1) / block * block);
        };
        deal(0, slots, 0);
        ASSERT_EQ(padded_capacity(slots, experts, block), worst) << slots << " slots, " << experts << " experts, block " << block;
      }
  EXPECT_EQ(padded_capacity(64 * 8, 256, 128), 256 * 128 + 256 * 1);
}

TEST(adapt, llama_cpp_columns_of_src1_and_dst) {
  for_each_routing([](routing const& r) {
    for (int const channels : {1, r.top_k}) {
      int const stride = channels + 2;
      ints bounds{0}, dst, src1;
      for (ints const& slots : r.slots_of) {
        for (std::int32_t const slot : slots)
          dst.push_back(slot), src1.push_back(slot / r.top_k * stride + (channels == 1 ? 0 : slot % r.top_k));
        bounds.push_back(static_cast<std::int32_t>(dst.size()));
      }
      pad(dst, r.slots(), -1), pad(src1, r.slots(), -1);
      contexts::for_each([&](auto const& ctx) {
        mapped m(ctx, r);
        array<std::int32_t> expert_bounds(r.experts + 1), ids_dst(r.slots()), ids_src1(r.slots()), alone(r.slots());
        adapt_well(ctx, m.map, llama_cpp_layout{expert_bounds.data(), ids_dst.data(), ids_src1.data(), channels, stride});
        EXPECT_EQ(expert_bounds.read(), bounds);
        EXPECT_EQ(ids_dst.read(), dst);
        EXPECT_EQ(ids_src1.read(), src1);
        adapt_well(ctx, m.map, llama_cpp_layout{.ids_src1 = alone.data(), .channels = channels, .token_stride = stride});
        EXPECT_EQ(alone.read(), src1);
        EXPECT_EQ(m.offsets.read(), bounds);
        EXPECT_EQ(m.row_to_slot.read(), dst);
      });
    }
  });
}

TEST(adapt, vllm_blocks_of_one_expert) {
  for_each_routing([](routing const& r) {
    for (int const block : {1, 16, 48}) {
      // The size of vLLM's own allocation; the smallest that is allowed.
      std::int64_t const theirs = std::min<std::int64_t>(r.slots() + r.experts * (block - 1), std::int64_t{r.slots()} * block);
      for (std::int64_t const capacity : {padded_capacity(r.slots(), r.experts, block), theirs, theirs + 7}) {
        ints ids, experts;
        for (int e = 0; e < r.experts; ++e) {
          ids.insert(ids.end(), r.slots_of[size(e)].begin(), r.slots_of[size(e)].end());
          while (ids.size() % size(block) != 0) ids.push_back(r.slots());
          while (experts.size() < ids.size() / size(block)) experts.push_back(e);
        }
        ints const padded{static_cast<std::int32_t>(ids.size())};
        pad(ids, capacity, r.slots()), pad(experts, (capacity + block - 1) / block, -1);
        contexts::for_each([&](auto const& ctx) {
          mapped m(ctx, r);
          array<std::int32_t> sorted_token_ids(capacity), expert_ids((capacity + block - 1) / block), post_padded(1);
          adapt_well(ctx, m.map, vllm_layout{sorted_token_ids.data(), expert_ids.data(), post_padded.data(), capacity, block});
          EXPECT_EQ(sorted_token_ids.read(), ids);
          EXPECT_EQ(expert_ids.read(), experts);
          EXPECT_EQ(post_padded.read(), padded);
        });
      }
    }
  });
}

TEST(adapt, tensorrt_llm_k_major_slots) {
  for_each_routing([](routing const& r) {
    std::vector<std::int64_t> first{0};
    ints to_unpermuted, to_permuted(size(r.slots()), -1);
    for (ints const& slots : r.slots_of) {
      for (std::int32_t const slot : slots) {
        int const t = slot / r.top_k, k = slot % r.top_k;
        to_permuted[size(k * r.tokens + t)] = static_cast<std::int32_t>(to_unpermuted.size());
        to_unpermuted.push_back(k * r.tokens + t);
      }
      first.push_back(static_cast<std::int64_t>(to_unpermuted.size()));
    }
    pad(to_unpermuted, r.slots(), -1);
    contexts::for_each([&](auto const& ctx) {
      mapped m(ctx, r);
      array<std::int64_t> offset(r.experts + 1);
      array<std::int32_t> unpermuted(r.slots()), permuted(r.slots());
      adapt_well(ctx, m.map, tensorrt_llm_layout{offset.data(), unpermuted.data(), permuted.data()});
      EXPECT_EQ(offset.read(), first);
      EXPECT_EQ(unpermuted.read(), to_unpermuted);
      EXPECT_EQ(permuted.read(), to_permuted);
    });
  });
}

TEST(adapt, trtllm_gen_ctas_of_one_expert) {
  for_each_routing([](routing const& r) {
    for (int const tile : {1, 8, 64})
      for (std::int64_t const more : {0, 5}) {
        std::int64_t const capacity = padded_capacity(r.slots(), r.experts, tile) + more, ctas = (capacity + tile - 1) / tile;
        ints tokens, expanded, permuted(size(r.slots()), -1), batch, limit;
        for (int e = 0; e < r.experts; ++e) {
          ints const& slots = r.slots_of[size(e)];
          for (std::size_t i = 0; i < slots.size(); ++i) {
            if (i % size(tile) == 0) {  // another CTA
              batch.push_back(e);
              limit.push_back(static_cast<std::int32_t>(tokens.size() + std::min(slots.size() - i, size(tile))));
            }
            permuted[size(slots[i])] = static_cast<std::int32_t>(tokens.size());
            tokens.push_back(slots[i] / r.top_k), expanded.push_back(slots[i]);
          }
          while (tokens.size() % size(tile) != 0) tokens.push_back(-1), expanded.push_back(-1);
        }
        ints const busy{static_cast<std::int32_t>(batch.size())}, padded{static_cast<std::int32_t>(tokens.size())};
        pad(tokens, capacity, -1), pad(expanded, capacity, -1), pad(batch, ctas, -1), pad(limit, ctas, 0);
        contexts::for_each([&](auto const& ctx) {
          mapped m(ctx, r);
          array<std::int32_t> to_token(capacity), to_expanded(capacity), to_permuted(r.slots()), to_batch(ctas), mn_limit(ctas), n(1),
              total(1);
          trtllm_gen_layout out{to_token.data(), to_expanded.data(), to_permuted.data(),
                                to_batch.data(), mn_limit.data(),    n.data(),
                                total.data(),    capacity,           tile};
          adapt_well(ctx, m.map, out);
          EXPECT_EQ(to_token.read(), tokens);
          EXPECT_EQ(to_expanded.read(), expanded);
          EXPECT_EQ(to_permuted.read(), permuted);
          EXPECT_EQ(to_batch.read(), batch);
          EXPECT_EQ(mn_limit.read(), limit);
          EXPECT_EQ(n.read(), busy);
          EXPECT_EQ(total.read(), padded);
          out.permuted_idx_to_expanded_idx = nullptr;
          adapt_well(ctx, m.map, out);
          EXPECT_EQ(to_expanded.read(), expanded);
        });
      }
  });
}

struct contiguous {
  ints m_indices, psum, row_to_slot, slot_to_row;
  std::size_t used;  // rows in blocks

  contiguous(routing const& r, int alignment, std::int64_t capacity) : slot_to_row(size(r.slots()), -1) {
    for (int e = 0; e < r.experts; ++e) {
      for (std::int32_t const slot : r.slots_of[size(e)]) {
        slot_to_row[size(slot)] = static_cast<std::int32_t>(m_indices.size());
        m_indices.push_back(e), row_to_slot.push_back(slot);
      }
      psum.push_back(static_cast<std::int32_t>(m_indices.size()));
      while (m_indices.size() % size(alignment) != 0) m_indices.push_back(-1), row_to_slot.push_back(-1);
    }
    used = m_indices.size();
    pad(m_indices, capacity, -1), pad(row_to_slot, capacity, -1);
  }
};

TEST(adapt, deep_gemm_contiguous_and_psum) {
  for_each_routing([](routing const& r) {
    for (int const alignment : {1, 32, 96, 128}) {
      std::int64_t const capacity = padded_capacity(r.slots(), r.experts, alignment) + alignment / 2;
      contiguous const right(r, alignment, capacity);
      contexts::for_each([&](auto const& ctx) {
        mapped m(ctx, r);
        array<std::int32_t> m_indices(capacity), psum(r.experts), row_to_slot(capacity), slot_to_row(r.slots());
        deep_gemm_layout out{m_indices.data(), psum.data(), row_to_slot.data(), slot_to_row.data(), capacity, alignment};
        adapt_well(ctx, m.map, out);
        EXPECT_EQ(m_indices.read(), right.m_indices);
        EXPECT_EQ(psum.read(), right.psum);
        EXPECT_EQ(row_to_slot.read(), right.row_to_slot);
        EXPECT_EQ(slot_to_row.read(), right.slot_to_row);
        out.psum = nullptr;
        adapt_well(ctx, m.map, out);
        out.m_indices = nullptr, out.psum = psum.data();
        adapt_well(ctx, m.map, out);
        EXPECT_EQ(psum.read(), right.psum);
      });
    }
  });
}

TEST(adapt, deep_gemm_masked_drops_rows_beyond_an_experts_capacity) {
  for_each_routing([](routing const& r) {
    for (std::int64_t const rows : {std::int64_t{0}, std::int64_t{4}, std::int64_t{r.tokens}}) {
      ints masked, to_slot(size(r.experts * rows), -1), to_row(size(r.slots()), -1);
      for (int e = 0; e < r.experts; ++e) {
        ints const& slots = r.slots_of[size(e)];
        std::size_t const kept = std::min(slots.size(), size(rows));
        masked.push_back(static_cast<std::int32_t>(kept));
        for (std::size_t i = 0; i < kept; ++i) {
          to_slot[size(e * rows) + i] = slots[i];
          to_row[size(slots[i])] = static_cast<std::int32_t>(size(e * rows) + i);
        }
      }
      contexts::for_each([&](auto const& ctx) {
        mapped m(ctx, r);
        array<std::int32_t> masked_m(r.experts), row_to_slot(r.experts * rows), slot_to_row(r.slots());
        adapt_well(ctx, m.map, deep_gemm_masked_layout{masked_m.data(), row_to_slot.data(), slot_to_row.data(), rows});
        EXPECT_EQ(masked_m.read(), masked);
        EXPECT_EQ(row_to_slot.read(), to_slot);
        EXPECT_EQ(slot_to_row.read(), to_row);
      });
    }
  });
}

constexpr std::int64_t cols = 256, blocks = 2;

template <class T>
struct rows_of_16 {  // 16-byte aligned rows
  std::vector<T> values;
  T* first;
  explicit rows_of_16(std::int64_t n, T value) : values(size(n) + 16, value), first(values.data()) {
    while (reinterpret_cast<std::uintptr_t>(first) % 16 != 0) ++first;
  }
};

TEST(permute_for_deep_gemm, copies_rows_and_clears_padding) {
  for_each_routing([](routing const& r) {
    constexpr int alignment = 32;
    std::int64_t const capacity = padded_capacity(r.slots(), r.experts, alignment);
    contiguous const right(r, alignment, capacity);
    contexts::for_each([&](auto const& ctx) {
      mapped m(ctx, r);
      array<std::int32_t> m_indices(capacity), row_to_slot(capacity), slot_to_row(r.slots());
      deep_gemm_layout const layout{m_indices.data(), nullptr, row_to_slot.data(), slot_to_row.data(), capacity, alignment};
      adapt_well(ctx, m.map, layout);

      rows_of_16<float> x(r.tokens * cols, 0), out(capacity * cols, -7), y(r.tokens * cols, -7);
      for (std::int64_t i = 0; i < r.tokens * cols; ++i) x.first[i] = static_cast<float>(i + 1);
      matrix_view<float> const in(x.first, r.tokens, cols), sorted(out.first, capacity, cols);
      ASSERT_EQ(text(permute(ctx, in, m.map, layout, sorted)), "ok");

      std::int64_t const out_stride = (capacity + 3) / 4 * 4, in_stride = (r.tokens + 3) / 4 * 4;
      std::vector<std::uint8_t> codes(size(r.tokens * cols)), out_codes(size(capacity * cols), 99);
      std::vector<float> scales(size(in_stride * blocks)), out_scales(size(out_stride * blocks), -7);
      for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<std::uint8_t>(i % 251);
      for (std::size_t i = 0; i < scales.size(); ++i) scales[i] = static_cast<float>(i + 1);
      ASSERT_EQ(text(permute(ctx, quantized_rows<float>(codes.data(), scales.data(), r.tokens, cols), m.map, layout,
                             quantized_rows<float>(out_codes.data(), out_scales.data(), capacity, cols))),
                "ok");
      contexts::finish();

      for (std::int64_t row = 0; row < capacity; ++row) {
        std::int32_t const slot = right.row_to_slot[size(row)];
        bool const left_alone = size(row) >= right.used;
        for (std::int64_t c = 0; c < cols; c += 85) {
          std::int64_t const from = slot / r.top_k * cols + c;
          ASSERT_EQ(sorted(row, c), left_alone ? -7.0F : slot < 0 ? 0.0F : static_cast<float>(from + 1)) << "row " << row;
          ASSERT_EQ(out_codes[size(row * cols + c)], left_alone ? 99 : slot < 0 ? 0 : codes[size(from)]) << "row " << row;
        }
        for (std::int64_t b = 0; b < blocks; ++b)
          ASSERT_EQ(out_scales[size(b * out_stride + row)], left_alone ? -7.0F
                                                            : slot < 0 ? 0.0F
                                                                       : scales[size(b * in_stride + slot / r.top_k)]);
      }

      std::vector<float> weights(size(r.slots()), 1.0F);
      ASSERT_EQ(text(unpermute(ctx, matrix_view<float const>(sorted), m.map, layout, {m.ids.data(), weights.data(), r.tokens, r.top_k},
                               matrix_view(y.first, r.tokens, cols))),
                "ok");
      contexts::finish();
      for (int t = 0; t < r.tokens; ++t) {
        float times = 0;
        for (int k = 0; k < r.top_k; ++k) times += right.slot_to_row[size(t * r.top_k + k)] >= 0 ? 1.0F : 0.0F;
        ASSERT_EQ(y.first[t * cols + 3], times * in(t, 3)) << "token " << t;
      }
    });
  });
}

TEST(permute_for_deep_gemm, masked_rows_carry_their_experts_own_scale_grid) {
  routing const r(9, 4, 16, 0.3, true, 5);
  constexpr std::int64_t rows = 6, stride = 8;
  contexts::for_each([&](auto const& ctx) {
    mapped m(ctx, r);
    array<std::int32_t> masked_m(r.experts), row_to_slot(r.experts * rows), slot_to_row(r.slots());
    deep_gemm_masked_layout const layout{masked_m.data(), row_to_slot.data(), slot_to_row.data(), rows};
    adapt_well(ctx, m.map, layout);
    std::vector<std::uint8_t> codes(size(r.tokens * cols)), scales(12 * blocks), out_codes(size(r.experts * rows * cols), 99),
        out_scales(size(r.experts * blocks * stride), 99);
    for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<std::uint8_t>(i % 83);
    for (std::size_t i = 0; i < scales.size(); ++i) scales[i] = static_cast<std::uint8_t>(i + 1);
    ASSERT_EQ(text(permute(ctx, quantized_rows<std::uint8_t>(codes.data(), scales.data(), r.tokens, cols), m.map, layout,
                           quantized_rows<std::uint8_t>(out_codes.data(), out_scales.data(), rows, cols))),
              "ok");
    contexts::finish();
    for (std::int64_t e = 0; e < r.experts; ++e)
      for (std::int64_t i = 0; i < rows; ++i) {
        ints const& slots = r.slots_of[size(e)];
        bool const used = size(i) < slots.size();
        std::int64_t const token = used ? slots[size(i)] / r.top_k : 0;
        for (std::int64_t c = 0; c < cols; ++c)
          ASSERT_EQ(out_codes[size((e * rows + i) * cols + c)], used ? codes[size(token * cols + c)] : 99);
        for (std::int64_t b = 0; b < blocks; ++b)
          ASSERT_EQ(out_scales[size((e * blocks + b) * stride + i)], used ? scales[size(b * 12 + token)] : 99);
      }
  });
}

// Every argument, wrong once.
struct adapter_arguments : testing::Test {
  reference::on ctx;
  mapped m{ctx, routing(5, 2, 4, 0, false, 1)};
  dispatch_map map = m.map;
  array<std::int32_t> i[7]{array<std::int32_t>(100), array<std::int32_t>(100), array<std::int32_t>(100), array<std::int32_t>(100),
                           array<std::int32_t>(100), array<std::int32_t>(100), array<std::int32_t>(100)};
  array<std::int64_t> wide{100};

  template <class Layout, class Change>
  std::string with(Layout layout, Change const& change) {
    dispatch_map changed = map;
    change(layout, changed);
    std::string const s = text(adapt(ctx, changed, layout));
    for (auto const& a : i) EXPECT_EQ(a.read(), ints(100, -77)) << "written to in spite of: " << s;
    EXPECT_EQ(wide.read(), std::vector<std::int64_t>(100, -77));
    return s;
  }
};

TEST_F(adapter_arguments, of_the_map) {
  vllm_layout const good{i[0].data(), i[1].data(), i[2].data(), 22, 4};
  auto wrong = [&](auto const& change) { return with(good, [&](vllm_layout&, dispatch_map& d) { change(d); }); };
  EXPECT_EQ(wrong([](dispatch_map& d) { d.top_k = 0; }), "map.top_k is 0, expected at least 1");
  EXPECT_EQ(wrong([](dispatch_map& d) { d.tokens = -1; }), "map.tokens is -1, expected 0 to 1073741823");
  EXPECT_EQ(wrong([](dispatch_map& d) { d.experts = -4; }), "map.experts is -4, expected 0 to 2147483647");
  EXPECT_EQ(wrong([](dispatch_map& d) { d.expert_offsets = nullptr; }), "map.expert_offsets is null");
  EXPECT_EQ(wrong([](dispatch_map& d) { d.row_to_slot = nullptr; }), "map.row_to_slot is null");
  EXPECT_EQ(wrong([](dispatch_map& d) { d.slot_to_row = nullptr; }), "map.slot_to_row is null");
}

TEST_F(adapter_arguments, of_llama_cpp) {
  llama_cpp_layout const good{i[0].data(), i[1].data(), i[2].data(), 2, 2};
  auto wrong = [&](auto const& change) { return with(good, [&](llama_cpp_layout& l, dispatch_map&) { change(l); }); };
  EXPECT_EQ(wrong([](auto& l) { l.ids_src1 = nullptr; }), "out.ids_src1 is null");
  EXPECT_EQ(wrong([](auto& l) { l.channels = 0; }), "out.channels is 0, expected at least 1");
  EXPECT_EQ(wrong([](auto& l) { l.token_stride = 1; }), "out.token_stride is 1, expected at least 2");
}

TEST_F(adapter_arguments, of_vllm) {
  vllm_layout const good{i[0].data(), i[1].data(), i[2].data(), 22, 4};
  auto wrong = [&](auto const& change) { return with(good, [&](vllm_layout& l, dispatch_map&) { change(l); }); };
  EXPECT_EQ(wrong([](auto& l) { l.sorted_token_ids = nullptr; }), "out.sorted_token_ids is null");
  EXPECT_EQ(wrong([](auto& l) { l.expert_ids = nullptr; }), "out.expert_ids is null");
  EXPECT_EQ(wrong([](auto& l) { l.num_tokens_post_padded = nullptr; }), "out.num_tokens_post_padded is null");
  EXPECT_EQ(wrong([](auto& l) { l.capacity = 19; }), "out.capacity is 19, expected at least 20");
  EXPECT_EQ(wrong([](auto& l) { l.capacity = 1LL << 31; }), "out.capacity is 2147483648, expected 0 to 2147483647");
  EXPECT_EQ(wrong([](auto& l) { l.block_size = 0; }), "out.block_size is 0, expected at least 1");
}

TEST_F(adapter_arguments, of_tensorrt_llm) {
  tensorrt_llm_layout const good{wide.data(), i[0].data(), i[1].data()};
  auto wrong = [&](auto const& change) { return with(good, [&](tensorrt_llm_layout& l, dispatch_map&) { change(l); }); };
  EXPECT_EQ(wrong([](auto& l) { l.expert_first_token_offset = nullptr; }), "out.expert_first_token_offset is null");
  EXPECT_EQ(wrong([](auto& l) { l.permuted_row_to_unpermuted_row = nullptr; }), "out.permuted_row_to_unpermuted_row is null");
  EXPECT_EQ(wrong([](auto& l) { l.unpermuted_row_to_permuted_row = nullptr; }), "out.unpermuted_row_to_permuted_row is null");
}

TEST_F(adapter_arguments, of_trtllm_gen) {
  trtllm_gen_layout const good{i[0].data(), i[1].data(), i[2].data(), i[3].data(), i[4].data(), i[5].data(), i[6].data(), 70, 16};
  auto wrong = [&](auto const& change) { return with(good, [&](trtllm_gen_layout& l, dispatch_map&) { change(l); }); };
  EXPECT_EQ(wrong([](auto& l) { l.permuted_idx_to_token_idx = nullptr; }), "out.permuted_idx_to_token_idx is null");
  EXPECT_EQ(wrong([](auto& l) { l.expanded_idx_to_permuted_idx = nullptr; }), "out.expanded_idx_to_permuted_idx is null");
  EXPECT_EQ(wrong([](auto& l) { l.cta_idx_xy_to_batch_idx = nullptr; }), "out.cta_idx_xy_to_batch_idx is null");
  EXPECT_EQ(wrong([](auto& l) { l.cta_idx_xy_to_mn_limit = nullptr; }), "out.cta_idx_xy_to_mn_limit is null");
  EXPECT_EQ(wrong([](auto& l) { l.num_non_exiting_ctas = nullptr; }), "out.num_non_exiting_ctas is null");
  EXPECT_EQ(wrong([](auto& l) { l.total_num_padded_tokens = nullptr; }), "out.total_num_padded_tokens is null");
  EXPECT_EQ(wrong([](auto& l) { l.tile_tokens = 12; }), "out.tile_tokens is 12, expected 16");
  EXPECT_EQ(wrong([](auto& l) { l.tile_tokens = -8; }), "out.tile_tokens is -8, expected at least 1");
  EXPECT_EQ(wrong([](auto& l) { l.capacity = 63; }), "out.capacity is 63, expected at least 64");
}

TEST_F(adapter_arguments, of_deep_gemm) {
  deep_gemm_layout const good{i[0].data(), i[1].data(), i[2].data(), i[3].data(), 70, 16};
  auto wrong = [&](auto const& change) { return with(good, [&](deep_gemm_layout& l, dispatch_map&) { change(l); }); };
  EXPECT_EQ(wrong([](auto& l) { l.m_indices = l.psum = nullptr; }), "out.m_indices is null");
  EXPECT_EQ(wrong([](auto& l) { l.row_to_slot = nullptr; }), "out.row_to_slot is null");
  EXPECT_EQ(wrong([](auto& l) { l.slot_to_row = nullptr; }), "out.slot_to_row is null");
  EXPECT_EQ(wrong([](auto& l) { l.capacity = 63; }), "out.capacity is 63, expected at least 64");
  EXPECT_EQ(wrong([](auto& l) { l.alignment = 0; }), "out.alignment is 0, expected at least 1");

  deep_gemm_masked_layout const masked{i[0].data(), i[1].data(), i[2].data(), 5};
  auto wrong_masked = [&](auto const& change) { return with(masked, [&](deep_gemm_masked_layout& l, dispatch_map&) { change(l); }); };
  EXPECT_EQ(wrong_masked([](auto& l) { l.masked_m = nullptr; }), "out.masked_m is null");
  EXPECT_EQ(wrong_masked([](auto& l) { l.row_to_slot = nullptr; }), "out.row_to_slot is null");
  EXPECT_EQ(wrong_masked([](auto& l) { l.slot_to_row = nullptr; }), "out.slot_to_row is null");
  EXPECT_EQ(wrong_masked([](auto& l) { l.rows_per_expert = 1LL << 29; }), "out.rows_per_expert is 536870912, expected 0 to 536870911");
}

TEST_F(adapter_arguments, of_rows_for_deep_gemm) {
  deep_gemm_layout layout{i[0].data(), nullptr, i[2].data(), i[3].data(), 64, 16};
  rows_of_16<float> x(5 * cols, 1), out(64 * cols, -7);
  matrix_view<float> const in(x.first, 5, cols), to(out.first, 64, cols);
  std::vector<std::uint8_t> codes(64 * cols, 1), scales(64 * blocks, 1);
  using q = quantized_rows<std::uint8_t>;
  auto rows = [&](std::int64_t n) { return q(codes.data(), scales.data(), n, cols); };
  EXPECT_EQ(text(permute(ctx, matrix_view(x.first, 4, cols), map, layout, to)), "x.rows is 4, expected 5");
  EXPECT_EQ(text(permute(ctx, in, map, layout, matrix_view(out.first, 63, cols))), "out.rows is 63, expected 64");
  EXPECT_EQ(text(permute(ctx, rows(4), map, layout, rows(64))), "x.rows is 4, expected 5");
  EXPECT_EQ(text(permute(ctx, rows(5), map, layout, rows(60))), "out.rows is 60, expected 64");
  EXPECT_EQ(text(permute(ctx, rows(5), map, {i[0].data(), i[2].data(), i[3].data(), 5}, rows(64))), "out.rows is 64, expected 5");
  EXPECT_EQ(text(permute(ctx, rows(5), map, deep_gemm_masked_layout{i[0].data(), nullptr, i[3].data(), 5}, rows(5))),
            "layout.row_to_slot is null");
  std::vector<float> weights(10);
  topk_choice const choice{m.ids.data(), weights.data(), 5, 2};
  EXPECT_EQ(text(unpermute(ctx, matrix_view<float const>(to.data, 60, cols), map, layout, choice, in)), "partials.rows is 60, expected 64");
  layout.capacity = 63;
  EXPECT_EQ(text(permute(ctx, in, map, layout, to)), "layout.capacity is 63, expected at least 64");
  layout.capacity = 64, layout.row_to_slot = nullptr;
  EXPECT_EQ(text(permute(ctx, in, map, layout, to)), "layout.row_to_slot is null");
  layout.row_to_slot = i[2].data(), layout.slot_to_row = nullptr;
  EXPECT_EQ(text(permute(ctx, in, map, layout, to)), "layout.slot_to_row is null");
  layout.alignment = 0;
  EXPECT_EQ(text(permute(ctx, in, map, layout, to)), "layout.alignment is 0, expected at least 1");
  EXPECT_TRUE(std::all_of(out.values.begin(), out.values.end(), [](float v) { return v == -7.0F; }));
  EXPECT_TRUE(std::all_of(codes.begin(), codes.end(), [](std::uint8_t c) { return c == 1; }));
}

}  // namespace
