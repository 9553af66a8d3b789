// The Hopper grouped GEMMs by themselves, random E4M3 data: every tile checked, then timed in turn with cuBLASLt and with a kernel that
// only reads the weights. About 30 seconds. Exit status 1 if a result is wrong, 77 without a GPU.
//   bench_gpu_gemm [--out FILE] [--cublaslt PATH] [--shape EXPERTSxROWS] [--only COLUMN] [--check]
// FILE gets one JSON object a line. --shape: that shape alone. --only: the tile of that column of the table alone. --check: no timing, and
// without --shape the ragged shapes alone.
#include <cstdlib>
#include <cstring>
#include <limits>
#include <optional>

#include "bench.hpp"
#include "grouped_check.hpp"
#include "grouped_peers.hpp"
#include "grouped_report.hpp"

namespace {

using namespace gpu;

struct options {
  std::string out, cublaslt_path, only;
  int experts = 0, rows_each = 0;  // 0: all shapes
  bool check = false;

  options(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
      std::string const key = argv[i];
      if (key == "--check") {
        check = true;
        continue;
      }
      if (i + 1 == argc) throw std::runtime_error(key + " is unknown or needs a value");
      std::string const value = argv[++i];
      if (key == "--out")
        out = value;
      else if (key == "--cublaslt")
        cublaslt_path = value;
      else if (key == "--only")
        only = value;
      else if (key != "--shape" || std::sscanf(value.c_str(), "%dx%d", &experts, &rows_each) != 2)
        throw std::runtime_error("cannot use " + key + " " + value);
    }
  }
};

std::vector<grouped_shape> shapes(options const& o) {
  std::pair<int, int> constexpr ragged[] = {{8, 1000}, {32, 9}};
  std::pair<int, int> constexpr prefill[] = {{4, 8192}, {8, 4096}, {8, 1024}, {32, 1024}, {256, 1024}, {8, 128}, {256, 128}, {256, 256}};
  std::pair<int, int> constexpr widths[] = {{4096, 7168}, {7168, 2048}};
  std::vector<grouped_shape> all;
  auto const add = [&](int experts, int rows_each, bool is_ragged, std::pair<int, int> const& width) {
    bool const wanted = o.experts == 0 ? is_ragged || !o.check : experts == o.experts && rows_each == o.rows_each;
    if (wanted) all.push_back({experts, rows_each, is_ragged, width.first, width.second});
  };
  for (auto const& width : widths)
    for (auto const& [experts, rows_each] : ragged) add(experts, rows_each, true, width);
  for (auto const& width : widths)
    for (auto const& [experts, rows_each] : prefill) add(experts, rows_each, false, width);
  for (auto const& width : widths)
    for (int const experts : {8, 32, 256})
      for (int const rows_each : {1, 4, 8, 16, 32, 64}) add(experts, rows_each, false, width);
  if (all.empty()) throw std::runtime_error("no such shape");
  return all;
}

struct program {
  options const& o;
  bench& b;
  grouped_problem& p;
  cold_cache const& cache;
  cublaslt* lt;  // null: without
  grouped_report& report;

  void wrong(std::string const& what, std::string const& why) const {
    ++b.failures;
    std::printf("WRONG  %s:%s\n", what.c_str(), why.c_str());
    b.out.write(json().add("item", what).add("error", why));
  }

  void run(grouped_shape const& s) {
    p.at(s);
    bool const with_up = s.n == 4096;
    std::optional<quantized_memory> want, have;
    if (with_up) {
      want.emplace(p.rows(), p.inter());
      have.emplace(p.rows(), p.inter());
    }
    grouped_tiles const tiles(p, with_up ? &*have : nullptr, o.only);
    std::vector<candidate> all = tiles.all();
    if (!s.ragged && !o.check && s.decode())
      for (auto const& read : weight_reads(p, b.card.multiProcessorCount)) all.push_back(read);
    if (!s.ragged && !o.check && !s.decode() && lt != nullptr)
      for (auto const& [kind, column] : {std::pair{dense::e4m3_block, "lt block"}, std::pair{dense::e4m3_tensor_fast, "lt fast"}})
        b.guarded(std::string(column) + " " + s.name(), [&] { all.push_back(dense_peer(*lt, p, kind, column, cache, b.s)); });

    std::vector<timed_candidate> good;
    double worst = 0.0;
    {
      grouped_check check(p, b.s);
      if (with_up) check.make_reference(*want);
      for (candidate const& c : all) {
        std::string const label = std::string(name(c.what)) + " " + c.tile + ", " + s.name() + " N" + std::to_string(s.n);
        b.guarded(label, [&] {
          std::string const why = c.what == work::gemm    ? check.gemm(c)
                                  : c.what == work::up    ? check.up(c, *want, *have)
                                  : c.what == work::dense ? check.dense(c, std::strcmp(c.column, "lt fast") == 0)
                                                          : std::string();
          if (!why.empty()) return wrong(label, why);
          bool const sampled = c.what == work::gemm || c.what == work::dense;
          if (c.what == work::gemm) worst = std::max(worst, check.error());
          good.push_back({&c, {}, sampled ? check.error() : std::numeric_limits<double>::quiet_NaN()});
        });
      }
    }
    if (s.ragged || o.check) {
      std::printf("%-8s N%d K%d: %zu of %zu right, relative error %.2e (%lld rows%s)\n", s.name().c_str(), s.n, s.k, good.size(),
                  all.size(), worst, static_cast<long long>(p.rows()), s.ragged ? ", some experts without any" : "");
      return;
    }
    if (good.empty()) return;
    watch clocks(b.clocks);
    auto const timed = time_cold_in_turn(
        b.s, cache, static_cast<int>(good.size()), [&](int v) { good[static_cast<std::size_t>(v)].c->launch(b.s); }, 15, 0.3);
    for (std::size_t i = 0; i < good.size(); ++i) good[i].t = timed[i];
    report.shape(s, good, clocks);
  }
};

}  // namespace

int main(int argc, char** argv) try {
  options const o(argc, argv);
  if (!has_gpu()) return 77;
  bench b(o.out);
  std::printf("%s, %d multiprocessors\n", b.card.name, b.card.multiProcessorCount);
  std::optional<cublaslt> lt;
  if (!o.cublaslt_path.empty() && !o.check) try {
      lt.emplace(o.cublaslt_path);
      std::printf("cuBLASLt %zu\n", lt->version());
    } catch (std::exception const& e) {
      std::printf("without cuBLASLt: %s\n", e.what());
    }
  std::vector<grouped_shape> const all = shapes(o);
  grouped_problem p(all);
  cold_cache const cache(b.card.multiProcessorCount, b.s);
  grouped_report report(b.out);
  program run{o, b, p, cache, lt ? &*lt : nullptr, report};
  for (grouped_shape const& s : all) {
    int const before = b.failures;
    b.guarded(s.name(), [&] { run.run(s); });
    if (b.failures != before && cudaDeviceSynchronize() != cudaSuccess) {
      std::printf("FAILED  the device is lost: stopping at %s N%d\n", s.name().c_str(), s.n);
      break;
    }
  }
  std::printf("%.1f s; SM %u MHz, %u W, %u C; %d failed or wrong\n", b.seconds(), b.clocks.sm_mhz(), b.clocks.watts(), b.clocks.celsius(),
              b.failures);
  return b.failures == 0 ? 0 : 1;
} catch (std::exception const& e) {
  std::printf("FAILED  %s\n", e.what());
  return 1;
}
