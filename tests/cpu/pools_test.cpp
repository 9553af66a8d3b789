// Pools: each item is done once, what items wrote is seen, and the layer has the same bits on all of them.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <moesaic/cpu/thread_pool.hpp>
#include <string>
#include <thread>

#include "engine_threads.hpp"
#include "tiny_layer.hpp"

namespace {

using namespace moesaic;

std::vector<int> ones(std::int64_t n) { return std::vector<int>(static_cast<std::size_t>(n), 1); }

TEST(thread_pool, does_each_item_once_and_returns_when_all_are_done) {
  for (int const threads : {1, 2, 3, 7}) {
    cpu::thread_pool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (int repetition = 0; repetition < 50; ++repetition)
      for (std::int64_t const n : {0, 1, 2, 6, 1000}) {
        std::vector<int> done(static_cast<std::size_t>(n));  // not atomic: the pool has to order what items wrote before its return
        pool.parallel_for(n, [&](std::int64_t i) { ++done[static_cast<std::size_t>(i)]; });
        ASSERT_EQ(done, ones(n)) << threads << " threads, " << n << " items";
      }
  }
}

TEST(thread_pool, works_again_after_it_has_slept) {
  cpu::thread_pool pool(3);
  for (int repetition = 0; repetition < 5; ++repetition) {
    std::this_thread::sleep_for(std::chrono::milliseconds(4));
    std::vector<int> done(100);
    pool.parallel_for(100, [&](std::int64_t i) {
      if (i == 99) std::this_thread::sleep_for(std::chrono::milliseconds(4));  // the others fall asleep meanwhile, and so may the caller
      ++done[static_cast<std::size_t>(i)];
    });
    ASSERT_EQ(done, ones(100));
  }
}

TEST(thread_pool, does_the_items_of_a_call_within_a_call) {
  cpu::thread_pool pool(3);
  std::vector<int> done(200);
  pool.parallel_for(20,
                    [&](std::int64_t i) { pool.parallel_for(10, [&](std::int64_t j) { ++done[static_cast<std::size_t>(10 * i + j)]; }); });
  EXPECT_EQ(done, ones(200));
}

TEST(thread_pool, may_be_called_by_several_threads_at_once) {
  cpu::thread_pool pool(2);
  std::vector<int> done(3000);
  std::vector<std::jthread> callers;
  for (int caller = 0; caller < 3; ++caller)
    callers.emplace_back([&, caller] {
      for (int call = 0; call < 100; ++call)
        pool.parallel_for(10, [&](std::int64_t i) { ++done[static_cast<std::size_t>(1000 * caller + 10 * call + i)]; });
    });
  callers.clear();
  EXPECT_EQ(done, ones(3000));
}

TEST(thread_pool, ends_unused_busy_or_asleep) {
  for (int i = 0; i < 50; ++i) {
    cpu::thread_pool unused(1 + i % 4), used(3);
    used.parallel_for(64, [](std::int64_t) {});
    if (i % 25 == 24) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

TEST(thread_pool, gives_forward_the_bits_of_one_thread) {
  tiny::weights const w;
  cpu::serial_pool serial;
  std::vector<std::uint32_t> const right = tiny::forward_bits(cpu::on(serial), w);
  for (int const threads : {1, 2, 3, 7}) {
    cpu::thread_pool pool(threads);
    EXPECT_EQ(tiny::forward_bits(cpu::on(pool), w), right) << threads << " threads";
  }
}

// [in_place]
/// w.codes and w.scales: memory for all experts. `read` puts an expert's codes and scales there, say with pread.
template <class Pool, class Read>
status load(Pool& threads, cpu::packed_matrices<weight_format::e4m3_128x128> const& w, memory scratch, Read const& read) {
  for (int e = 0; e < w.experts; ++e) {
    read(e, w.expert(e).codes, w.expert(e).scales);
    if (status const s = cpu::pack_in_place(threads, w.expert(e), scratch); !s) return s;
  }
  return {};
}
// [in_place]

TEST(thread_pool, packs_a_layer_in_place_and_matrix_by_matrix_into_the_bits_of_prepare) {
  using tiny::c, tiny::layer;
  tiny::weights const w;
  cpu::serial_pool serial;
  std::vector<std::uint32_t> const right = tiny::forward_bits(cpu::on(serial), w);
  for (int const threads : {1, 3}) {
    cpu::thread_pool pool(threads);
    cpu::on const ctx(pool);
    prepared_weights<std::remove_const_t<decltype(ctx)>, layer> mine;
    std::vector<std::unique_ptr<tiny::bytes>> home;
    auto const take = [&](std::size_t n) { return home.emplace_back(std::make_unique<tiny::bytes>(n))->memory(); };
    auto const prepared = [&](auto const& from, auto& to) { return bool(prepare(ctx, from, take(prepared_bytes(ctx, from)), to)); };
    auto const loaded = [&](auto const& from, auto& to) {
      to = {from.experts, from.n, from.k};
      to.codes = static_cast<std::uint8_t*>(take(to.code_bytes()).data);
      to.scales = static_cast<float*>(take(to.scale_bytes()).data);
      return bool(
          load(pool, to, take(to.strip_bytes() * static_cast<std::size_t>(threads)), [&](int e, std::uint8_t* codes, float* scales) {
            std::copy_n(from.codes[e], from.n * from.k, codes);
            std::copy_n(from.scales[e], to.grid_rows() * to.grid_cols(), scales);
          }));
    };
    ASSERT_TRUE(loaded(w.all.gate, mine.gate) && loaded(w.all.up, mine.up) && loaded(w.all.down, mine.down));
    ASSERT_TRUE(prepared(w.all.router, mine.router) && prepared(w.all.shared_gate, mine.shared_gate) &&
                prepared(w.all.shared_up, mine.shared_up) && prepared(w.all.shared_down, mine.shared_down));
    mine.bias = w.all.bias;
    tiny::pass const p(ctx);
    ASSERT_TRUE(p.run_prepared(ctx, w, mine));
    EXPECT_EQ(p.y_bits(), right) << threads << " threads";
  }
}

TEST(worker, does_each_item_once_in_one_thread_of_all) {
  for (bool const by_tickets : {false, true})
    for (int const threads : {1, 2, 3, 7}) {
      std::vector<int> done(1000);
      std::atomic<int> wrong{0};
      engine::on_all_threads(threads, by_tickets, [&](auto& me, int) {
        for (int repetition = 1; repetition <= 20; ++repetition)
          for (std::int64_t const n : {0, 1, 2, 6, 1000}) {
            me.parallel_for(n, [&](std::int64_t i) { ++done[static_cast<std::size_t>(i)]; });
            // Every thread sees what all others did, and none goes on to write before all have looked.
            int const expected = repetition * 4 - (n == 1 ? 3 : n == 2 ? 2 : n == 6 ? 1 : 0);
            if (n > 0 && done[0] != expected) ++wrong;
            me.parallel_for(0, [](std::int64_t) {});
          }
      });
      EXPECT_EQ(wrong, 0) << threads << " threads";
      EXPECT_EQ(done[0], 80);
      EXPECT_EQ(done[1], 60);
      EXPECT_EQ(done[5], 40);
      EXPECT_EQ(done[6], 20);
      EXPECT_EQ(done[999], 20);
    }
}

TEST(worker, gives_forward_the_bits_of_one_thread_where_all_threads_make_every_call) {
  tiny::weights const w;
  cpu::serial_pool serial;
  std::vector<std::uint32_t> const right = tiny::forward_bits(cpu::on(serial), w);
  for (bool const by_tickets : {false, true})
    for (int const threads : {1, 2, 3, 7}) {
      tiny::pass const p{cpu::on(serial)};
      std::atomic<int> wrong{0};
      engine::on_all_threads(threads, by_tickets, [&](auto& me, int) {
        for (int repetition = 0; repetition < 3; ++repetition)
          if (!p.run(cpu::on(me), w)) ++wrong;
      });
      EXPECT_EQ(wrong, 0);
      EXPECT_EQ(p.y_bits(), right) << threads << " threads" << (by_tickets ? " by tickets" : "");
    }
}

TEST(worker, finds_a_wrong_argument_in_all_threads_and_none_waits) {
  tiny::weights const w;
  std::atomic<int> found{0};
  engine::on_all_threads(3, false, [&](auto& me, int) {
    auto const ctx = cpu::on(me);
    prepared_weights<std::remove_const_t<decltype(ctx)>, tiny::layer> none;
    float y[4];
    status const s = forward<tiny::layer>(ctx, w.x(), none, matrix_view(y, 1, 4), {});
    if (std::string(describe(s).c_str()) == "y.rows is 1, expected 37") ++found;
  });
  EXPECT_EQ(found, 3);
}

}  // namespace
