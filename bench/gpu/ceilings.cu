// What the card can do, measured: the denominators of every share that a GPU benchmark of this repository prints. Under 25 seconds.
//   bench_gpu_ceilings [--out FILE] [--cublaslt PATH] [--only bandwidth,launch,gemm] [--gib N]
// FILE gets one JSON object a line. Bandwidth counts bytes read plus bytes written. Shapes are M x N x K of Y[M, N] = X[M, K] W[N, K]^T.
#include <cuda_runtime.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "bandwidth.hpp"
#include "clocks.hpp"
#include "dense_check.hpp"

namespace {

using namespace gpu;

struct bench {
  cudaDeviceProp card{};
  management clocks;
  results out;
  stream s;
  int failures = 0;
  std::chrono::steady_clock::time_point const start = std::chrono::steady_clock::now();

  explicit bench(std::string const& path) : out(path) {
    int device = 0;
    ok(cudaGetDevice(&device));
    ok(cudaGetDeviceProperties(&card, device));
  }

  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); }

  template <class F>
  void guarded(std::string const& what, F const& f) {
    try {
      f();
    } catch (std::exception const& e) {
      ++failures;
      std::printf("FAILED  %s: %s\n", what.c_str(), e.what());
      out.write(json().add("item", what).add("error", e.what()));
    }
    std::fflush(stdout);
  }
};

void describe(bench& b) {
  int driver = 0, runtime = 0;
  ok(cudaDriverGetVersion(&driver));
  ok(cudaRuntimeGetVersion(&runtime));
  std::printf("%s, %d multiprocessors, L2 %.1f MB, %.1f GB, driver for CUDA %d, runtime %d; SM %u MHz, memory %u MHz, %u W, %u C\n",
              b.card.name, b.card.multiProcessorCount, b.card.l2CacheSize / 1e6, static_cast<double>(b.card.totalGlobalMem) / 1e9, driver,
              runtime, b.clocks.sm_mhz(), b.clocks.memory_mhz(), b.clocks.watts(), b.clocks.celsius());
  b.out.write(json()
                  .add("item", "card")
                  .add("name", b.card.name)
                  .add("sms", b.card.multiProcessorCount)
                  .add("l2_bytes", b.card.l2CacheSize)
                  .add("bytes", b.card.totalGlobalMem)
                  .add("cuda_driver", driver)
                  .add("cuda_runtime", runtime)
                  .add("nvml", b.clocks.ready())
                  .add("sm_mhz", b.clocks.sm_mhz())
                  .add("memory_mhz", b.clocks.memory_mhz())
                  .add("watts", b.clocks.watts())
                  .add("celsius", b.clocks.celsius()));
}

// ---- bandwidth

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

// ---- launches

__global__ void nothing() {}
// Lets its successor start at once and waits for its predecessor: all of a launch that can overlap does.
__global__ void nothing_dependent() {
  asm volatile("griddepcontrol.launch_dependents;");
  asm volatile("griddepcontrol.wait;" ::: "memory");
}

void launches(bench& b) {
  constexpr int chain = 256;
  struct shape {
    char const* name;
    int blocks, threads, shared;
  };
  for (shape const& sh :
       {shape{"1 x 32", 1, 32, 0}, shape{"a GEMM's: all SMs x 384, 200 KB", b.card.multiProcessorCount, 384, 200 * 1024}}) {
    auto const shared = static_cast<std::size_t>(sh.shared);
    auto const launch = [&](bool dependent) {
      cudaLaunchAttribute attribute{};
      attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
      attribute.val.programmaticStreamSerializationAllowed = 1;
      cudaLaunchConfig_t config{};
      config.gridDim = dim3(static_cast<unsigned>(sh.blocks));
      config.blockDim = dim3(static_cast<unsigned>(sh.threads));
      config.dynamicSmemBytes = shared;
      config.stream = b.s;
      config.attrs = &attribute;
      config.numAttrs = dependent ? 1 : 0;
      ok(dependent ? cudaLaunchKernelEx(&config, nothing_dependent) : cudaLaunchKernelEx(&config, nothing));
    };
    ok(cudaFuncSetAttribute(nothing, cudaFuncAttributeMaxDynamicSharedMemorySize, sh.shared));
    ok(cudaFuncSetAttribute(nothing_dependent, cudaFuncAttributeMaxDynamicSharedMemorySize, sh.shared));

    auto const measure = [&](std::string const& how, auto const& enqueue_chain) {
      times t = time_calls(b.s, enqueue_chain);
      for (double* const us : {&t.median, &t.min, &t.max}) *us /= chain;
      std::printf("launch     %8.3f us (%.3f to %.3f)   %s, %s\n", t.median, t.min, t.max, how.c_str(), sh.name);
      b.out.write(json().add("item", "launch").add("config", how + ", " + sh.name).add(t));
    };
    for (bool const dependent : {false, true}) {
      std::string const suffix = dependent ? ", programmatic dependent launch" : "";
      b.guarded("launch in a stream" + suffix, [&] {
        measure("stream" + suffix, [&](int) {
          for (int i = 0; i < chain; ++i) launch(dependent);
        });
        auto const begin = std::chrono::steady_clock::now();
        for (int i = 0; i < chain; ++i) launch(dependent);
        double const us = std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count() / chain;
        b.s.wait();
        std::printf("launch     %8.3f us                     host's call%s, %s\n", us, suffix.c_str(), sh.name);
        b.out.write(json().add("item", "launch_host").add("config", "stream" + suffix + ", " + sh.name).add("us", us));
      });
      b.guarded("launch in a graph" + suffix, [&] {
        cudaGraph_t graph = nullptr;
        cudaGraphExec_t executable = nullptr;
        ok(cudaStreamBeginCapture(b.s, cudaStreamCaptureModeThreadLocal));
        for (int i = 0; i < chain; ++i) launch(dependent);
        ok(cudaStreamEndCapture(b.s, &graph));
        ok(cudaGraphInstantiate(&executable, graph, 0));
        measure("graph of 256" + suffix, [&](int) { ok(cudaGraphLaunch(executable, b.s)); });
        ok(cudaGraphExecDestroy(executable));
        ok(cudaGraphDestroy(graph));
      });
    }
  }
}

// ---- products

void product_of(bench& b, cublaslt& lt, dense_sets const& sets, dense kind, bool sustained) {
  product const p = sets.shape();
  std::string const shape = std::to_string(p.m) + "x" + std::to_string(p.n) + "x" + std::to_string(p.k);
  b.guarded(std::string("cublaslt ") + name(kind) + " " + shape, [&] {
    cublaslt::plan plan(lt, kind, p.m, p.n, p.k, sets.at(0));
    // The heuristic's first choice is not always the fastest: all are tried, and the fastest is what others are compared with.
    int best = -1;
    double first_us = 0.0, best_us = 0.0;
    for (int candidate = 0; candidate < plan.candidates(); ++candidate) {
      try {
        double const us = time_calls(
                              b.s, [&](int i) { plan.run(sets.at(i % dense_sets::sets), candidate, b.s); }, 3, 1000.0)
                              .median;
        if (candidate == 0) first_us = us;
        if (best < 0 || us < best_us) best = candidate, best_us = us;
      } catch (std::exception const& e) {
        std::printf("        candidate %d of %s %s: %s\n", candidate, name(kind), shape.c_str(), e.what());
      }
    }
    if (best < 0) throw std::runtime_error("no candidate runs");
    auto const report = [&](char const* item, times const& t, watch& clocks) {
      double const rate = p.operations() / t.median * 1e-6;
      json line;
      line.add("item", item).add("kind", name(kind)).add("m", p.m).add("n", p.n).add("k", p.k).add(t).add("tflops", rate);
      line.add("heuristic_tflops", p.operations() / first_us * 1e-6).add("candidate", best).add("candidates", plan.candidates());
      clocks.add_to(line);
      double const error = sets.worst_error(kind, 0);
      line.add("worst_error", error).add("correct", error < 0.05);
      b.out.write(line);
      std::printf("%-10s %8.1f TFLOP/s (%.1f to %.1f)   %-16s %-18s %9.1f us, error %.4f%s, %u MHz, %u W\n", item, rate,
                  p.operations() / t.max * 1e-6, p.operations() / t.min * 1e-6, name(kind), shape.c_str(), t.median, error,
                  error < 0.05 ? "" : " WRONG", clocks.sm_mhz(), clocks.watts());
      if (!(error < 0.05)) ++b.failures;
    };
    auto const run = [&](int i) { plan.run(sets.at(i % dense_sets::sets), best, b.s); };
    {
      watch clocks(b.clocks);
      report("gemm", time_calls(b.s, run, 15, 4000.0), clocks);
    }
    if (sustained) {
      watch clocks(b.clocks);
      report("sustained", time_calls(b.s, run, 20, 50'000.0), clocks);
    }
  });
}

void products(bench& b, std::string const& path) {
  cublaslt lt(path);
  std::printf("cuBLASLt %zu from %s\n", lt.version(), path.c_str());
  b.out.write(json().add("item", "cublaslt").add("version", lt.version()).add("path", path));
  b.guarded("bf16", [&] {
    dense_sets const sets({8192, 8192, 8192}, false, b.s);
    product_of(b, lt, sets, dense::bf16, true);
  });
  for (product const p : {product{4096, 4096, 7168},
                          {8192, 4096, 7168},
                          {32768, 4096, 7168},
                          {4096, 7168, 2048},
                          {8192, 7168, 2048},
                          {32768, 7168, 2048},
                          {4096, 7168, 16384}})
    b.guarded("operands", [&] {
      dense_sets const sets(p, true, b.s);
      bool const sustained = p.m == 32768 && p.k == 7168;
      for (dense const kind : {dense::e4m3_tensor, dense::e4m3_tensor_fast, dense::e4m3_block})
        product_of(b, lt, sets, kind, sustained && kind != dense::e4m3_tensor);
    });
}

}  // namespace

int main(int argc, char** argv) try {
  std::string out, cublaslt_path = "libcublasLt.so.13", only = "bandwidth,launch,gemm";
  std::int64_t gib = 6;
  for (int i = 1; i < argc; ++i) {
    std::string const key = argv[i];
    if (i + 1 == argc) throw std::runtime_error(key + " needs a value");
    std::string const value = argv[++i];
    if (key == "--out")
      out = value;
    else if (key == "--cublaslt")
      cublaslt_path = value;
    else if (key == "--only")
      only = value;
    else if (key == "--gib")
      gib = std::atoll(value.c_str());
    else
      throw std::runtime_error("unknown argument " + key);
  }
  if (gib < 1) throw std::runtime_error("--gib must be 1 or more");

  bench b(out);
  describe(b);
  auto const wanted = [&](char const* section) { return only.find(section) != std::string::npos; };
  if (wanted("launch")) b.guarded("launch", [&] { launches(b); });
  if (wanted("bandwidth")) b.guarded("bandwidth", [&] { bandwidth(b, gib << 30).run(); });
  if (wanted("gemm")) b.guarded("gemm", [&] { products(b, cublaslt_path); });
  std::printf("%.1f s; SM %u MHz, %u W, %u C; %d failed\n", b.seconds(), b.clocks.sm_mhz(), b.clocks.watts(), b.clocks.celsius(),
              b.failures);
  return b.failures == 0 ? 0 : 1;
} catch (std::exception const& e) {
  std::printf("FAILED  %s\n", e.what());
  return 1;
}
