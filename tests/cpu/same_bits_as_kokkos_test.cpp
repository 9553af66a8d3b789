// cpu::on needs no Kokkos and no OpenMP: a layer has the same bits on its own threads, in an engine's threads, and on Kokkos.
#include <gtest/gtest.h>

#include <moesaic/cpu/thread_pool.hpp>
#include <moesaic/kokkos.hpp>

#include "engine_threads.hpp"
#include "tiny_layer.hpp"

namespace {

TEST(cpu, has_the_bits_of_kokkos) {
  tiny::weights const w;
  std::vector<std::uint32_t> const kokkos = tiny::forward_bits(moesaic::kokkos::on<Kokkos::OpenMP>(Kokkos::OpenMP()), w);

  moesaic::cpu::thread_pool pool(2);
  EXPECT_EQ(tiny::forward_bits(moesaic::cpu::on(pool), w), kokkos);

  tiny::pass const p{moesaic::cpu::on(pool)};
  engine::on_all_threads(2, true, [&](auto& me, int) {
    moesaic::status const s = p.run(moesaic::cpu::on(me), w);
    EXPECT_TRUE(s);
  });
  EXPECT_EQ(p.y_bits(), kokkos);
}

struct mine : moesaic::tune::native {
  static constexpr moesaic::tune::cpu_engine engine(moesaic::activation_format a, moesaic::weight_format w) {
    return moesaic::tune::has_fp16_arithmetic ? moesaic::tune::cpu_engine::fp16_chunked : native::engine(a, w);
  }
};

TEST(cpu, has_the_bits_of_kokkos_with_another_tuning) {
  tiny::weights const w;
  moesaic::cpu::thread_pool pool(2);
  auto const bits = tiny::forward_bits(moesaic::cpu::on(pool, mine{}), w);
  EXPECT_EQ(tiny::forward_bits(moesaic::kokkos::on(Kokkos::OpenMP(), mine{}), w), bits);
  if (moesaic::tune::has_fp16_arithmetic) {
    EXPECT_NE(tiny::forward_bits(moesaic::cpu::on(pool), w), bits);
  }
}

}  // namespace
