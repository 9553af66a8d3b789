// Measures reading, writing and copying in several configurations; the best of each is the ceiling.
#pragma once

#include <string>
#include <utility>

#include "bandwidth.hpp"
#include "bench.hpp"
#include "random_data.hpp"

namespace gpu {

struct best_of {
  double rate = 0.0;
  std::string config;
};

struct bandwidth {
  bench& b;
  memory from, to, sum;
  std::int64_t bytes;
  unsigned long long expected = 0;
  best_of read, bulk, write, copy;

  bandwidth(bench& b_, std::int64_t bytes_)
      : b(b_),
        from(static_cast<std::size_t>(bytes_)),
        to(static_cast<std::size_t>(bytes_)),
        sum(sizeof(unsigned long long)),
        bytes(bytes_) {
    ok(cudaMemsetAsync(total(), 0, sizeof expected, b.s));
    fill_words<<<4096, 256, 0, b.s>>>(from.as<std::uint64_t>(), bytes / 8, total());
    ok(cudaGetLastError());
    expected = taken();
    ok(cudaMemcpyAsync(to.as<std::byte>(), from.as<std::byte>(), to.bytes(), cudaMemcpyDeviceToDevice, b.s));
    b.s.wait();
  }

  unsigned long long* total() const { return sum.as<unsigned long long>(); }
  unsigned long long taken() const {
    unsigned long long v = 0;
    ok(cudaMemcpyAsync(&v, total(), sizeof v, cudaMemcpyDeviceToHost, b.s));
    b.s.wait();
    return v;
  }
  template <class F>
  void expect(unsigned long long wanted, F const& launch) {
    ok(cudaMemsetAsync(total(), 0, sizeof wanted, b.s));
    launch(0);
    if (taken() != wanted) throw std::runtime_error("not the bytes that were written");
  }

  template <class F>
  void measure(char const* item, best_of& best, std::string const& config, double moved, F const& launch) {
    times const t = time_calls(b.s, launch);
    double const rate = moved / t.median * 1e-3;
    b.out.write(json().add("item", item).add("config", config).add("bytes", moved).add(t).add("gb_per_s", rate));
    if (rate > best.rate) best = {rate, config};
  }

  int resident(void const* kernel, int threads, int shared = 0) const {
    int blocks = 0;
    ok(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel, threads, static_cast<std::size_t>(shared)));
    if (blocks == 0) throw std::runtime_error("a kernel does not fit a multiprocessor");
    return blocks * b.card.multiProcessorCount;
  }

  template <int Loads>
  void plain(int threads, bool persistent) {
    std::int64_t const tiles = bytes / (std::int64_t{threads} * Loads * 16);
    if (tiles * threads * Loads * 16 != bytes) throw std::runtime_error("tiles do not fill the buffer");
    auto const named = [&] {
      return std::to_string(threads) + " threads x " + std::to_string(Loads) + " x 16 B, " +
             (persistent ? "resident grid" : "a block a tile");
    }();
    auto const grid = [&](void const* kernel) { return persistent ? resident(kernel, threads) : static_cast<int>(tiles); };
    // A block a tile would measure the sum that each leaves, not what it reads.
    if (persistent)
      b.guarded("read " + named, [&] {
        int const blocks = grid(reinterpret_cast<void const*>(read_tiles<Loads>));
        auto const launch = [&](int) {
          read_tiles<Loads><<<blocks, threads, 0, b.s>>>(from.as<uint4>(), tiles, total());
          ok(cudaGetLastError());
        };
        expect(expected, launch);
        measure("read", read, named, static_cast<double>(bytes), launch);
      });
    b.guarded("copy " + named, [&] {
      int const blocks = grid(reinterpret_cast<void const*>(copy_tiles<Loads>));
      ok(cudaMemsetAsync(to.as<std::byte>(), 0, to.bytes(), b.s));
      auto const launch = [&](int) {
        copy_tiles<Loads><<<blocks, threads, 0, b.s>>>(from.as<uint4>(), to.as<uint4>(), tiles);
        ok(cudaGetLastError());
      };
      launch(0);
      int const readers = resident(reinterpret_cast<void const*>(read_tiles<Loads>), threads);
      expect(expected, [&](int) { read_tiles<Loads><<<readers, threads, 0, b.s>>>(to.as<uint4>(), tiles, total()); });
      measure("copy", copy, named, 2.0 * static_cast<double>(bytes), launch);
    });
    b.guarded("write " + named, [&] {
      int const blocks = grid(reinterpret_cast<void const*>(write_tiles<Loads>));
      measure("write", write, named, static_cast<double>(bytes), [&](int i) {
        write_tiles<Loads><<<blocks, threads, 0, b.s>>>(to.as<uint4>(), tiles, 0x1234567U + static_cast<unsigned>(i));
        ok(cudaGetLastError());
      });
    });
  }

  void streamed(int stages, int chunk, int per_sm, bool contiguous) {
    std::string const named = std::to_string(stages) + " stages x " + std::to_string(chunk / 1024) + " KB, " + std::to_string(per_sm) +
                              " a multiprocessor, " + (contiguous ? "a run each" : "interleaved");
    b.guarded("bulk read " + named, [&] {
      int const shared = stages * (chunk + 8);
      ok(cudaFuncSetAttribute(bulk_read, cudaFuncAttributeMaxDynamicSharedMemorySize, shared));
      if (resident(reinterpret_cast<void const*>(bulk_read), 32, shared) < per_sm * b.card.multiProcessorCount)
        throw std::runtime_error("stages do not fit");
      std::int64_t const chunks = bytes / chunk;
      unsigned long long wanted = 0;
      for (std::int64_t c = 0; c < chunks; ++c) wanted ^= mix(static_cast<std::uint64_t>(c * (chunk / 8)));
      auto const launch = [&](int) {
        bulk_read<<<per_sm * b.card.multiProcessorCount, 32, static_cast<std::size_t>(shared), b.s>>>(from.as<std::byte>(), chunks, stages,
                                                                                                      chunk, contiguous, total());
        ok(cudaGetLastError());
      };
      expect(wanted, launch);
      measure("bulk_read", bulk, named, static_cast<double>(bytes), launch);
    });
  }

  void run() {
    for (bool const persistent : {true, false})
      for (int const threads : {256, 512}) {
        plain<4>(threads, persistent);
        plain<8>(threads, persistent);
        plain<16>(threads, persistent);
      }
    for (bool const contiguous : {false, true})
      for (int const stages : {4, 8, 13}) streamed(stages, 16384, 1, contiguous);
    streamed(6, 32768, 1, false);
    streamed(24, 8192, 1, false);
    streamed(6, 16384, 2, false);
    b.guarded("copy by cudaMemcpyAsync", [&] {
      measure("copy", copy, "cudaMemcpyAsync", 2.0 * static_cast<double>(bytes),
              [&](int) { ok(cudaMemcpyAsync(to.as<std::byte>(), from.as<std::byte>(), to.bytes(), cudaMemcpyDeviceToDevice, b.s)); });
    });
    b.guarded("write by cudaMemsetAsync", [&] {
      measure("write", write, "cudaMemsetAsync", static_cast<double>(bytes),
              [&](int i) { ok(cudaMemsetAsync(to.as<std::byte>(), 0x5A ^ (i & 1), to.bytes(), b.s)); });
    });
    for (auto const& [item, best] : {std::pair{"read", &read}, {"bulk_read", &bulk}, {"write", &write}, {"copy", &copy}}) {
      std::printf("%-10s %8.1f GB/s   %s\n", item, best->rate, best->config.c_str());
      b.out.write(json().add("item", std::string(item) + "_best").add("config", best->config).add("gb_per_s", best->rate));
    }
  }
};

}  // namespace gpu
