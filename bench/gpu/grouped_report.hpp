// The printed table, two lines a shape, and the same as JSON lines.
#pragma once

#include <limits>

#include "clocks.hpp"
#include "grouped_tiles.hpp"

namespace gpu {

struct timed_candidate {
  candidate const* c;
  times t;
  double rms_error;  // NaN where there is none
};

/// Both kinds of section have these columns; a shape leaves empty what it does not run.
class grouped_report {
 public:
  explicit grouped_report(results& out) : out_(out) {}

  void shape(grouped_shape const& s, std::vector<timed_candidate> const& all, watch& clocks) {
    auto const& columns = s.decode() ? decode_columns : prefill_columns;
    std::string const section = std::string("N") + std::to_string(s.n) + " K" + std::to_string(s.k);
    if (section != section_ || s.decode() != decode_) {
      if (section_.empty()) explain();
      section_ = section;
      decode_ = s.decode();
      std::string line = padded(section, label_width);
      for (char const* c : columns) line += padded(c, -cell_width);
      print(line);
    }
    clocks.stop();
    double const limit = s.decode() ? fastest(all, work::read) : fastest(all, work::dense);
    std::string first = padded(s.name(), label_width), second = padded(std::to_string(clocks.sm_mhz()) + " MHz", label_width);
    for (char const* column : columns) {
      std::string upper, lower;
      double best = std::numeric_limits<double>::infinity();
      for (auto const& r : all)
        if (std::string(r.c->column) == column && r.t.median < best) {
          best = r.t.median;
          double const share = share_of(s, r, limit), tflops = s.operations() / best * 1e-6;
          upper = text(best < 999.95 ? "%.1f" : "%.0f", best) + (r.c->what == work::read ? "     " : text(" %4.0f", tflops));
          lower = text("%.0f", r.c->bytes / best * 1e-3) + (std::isfinite(share) ? text(" %4.2f", share) : "    -");
        }
      first += padded(upper, -cell_width);
      second += padded(lower, -cell_width);
    }
    print(first);
    print(second);
    for (auto const& r : all) {
      json line;
      line.add("item", "grouped").add("work", name(r.c->what)).add("tile", r.c->tile).add("column", r.c->column);
      line.add("experts", s.experts).add("rows_each", s.rows_each).add("rows", s.rows()).add("n", s.n).add("k", s.k).add(r.t);
      line.add("tflops", r.c->what == work::read ? 0.0 : s.operations() / r.t.median * 1e-6)
          .add("gb_per_s", r.c->bytes / r.t.median * 1e-3);
      line.add("share", share_of(s, r, limit)).add("share_of", s.decode() ? "read" : "cublaslt").add("rms_error", r.rms_error);
      out_.write(clocks.add_to(line));
    }
    std::fflush(stdout);
  }

 private:
  static constexpr int label_width = 12, cell_width = 11;
  static constexpr char const* decode_list[] = {"x16",    "x16 2",    "x32",    "x32 2",    "x64",    "2x128",
                                                "up x16", "up x16 2", "up x32", "up x32 2", "up x64", "read"};
  static constexpr char const* prefill_list[] = {"128x128", "2x128", "x64", "up 2x128", "up exact", "up x64", "lt block", "lt fast"};
  std::vector<char const*> const decode_columns{std::begin(decode_list), std::end(decode_list)};
  std::vector<char const*> const prefill_columns{std::begin(prefill_list), std::end(prefill_list)};

  static void explain() {
    std::printf(
        "A cell: us, TFLOP/s; below: GB/s of all operands and results, share. Medians, cold L2, timed in turn. up: with SwiGLU and E4M3\n"
        "results. Share, 64 rows or fewer: of the rate at which read reads the weights; else of the faster cuBLASLt (lt block: scales as\n"
        "ours, lt fast: one scale each and fast accumulation), a dense product of as many rows.\n");
  }
  static double fastest(std::vector<timed_candidate> const& all, work what) {
    double us = std::numeric_limits<double>::infinity();
    for (auto const& r : all)
      if (r.c->what == what) us = std::min(us, r.t.median);
    return us;
  }
  /// Infinite or NaN: nothing to compare with.
  static double share_of(grouped_shape const& s, timed_candidate const& r, double limit_us) {
    double const share = limit_us / r.t.median;
    return s.decode() ? share * r.c->bytes / static_cast<double>(s.weight_bytes()) : share;
  }
  static std::string text(char const* format, double value) {
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, format, value);
    return buffer;
  }
  /// Negative: to the right.
  static std::string padded(std::string const& s, int width) {
    std::string const space(static_cast<std::size_t>(std::max(0, std::abs(width) - static_cast<int>(s.size()))), ' ');
    return width > 0 ? s + space : space + s;
  }
  static void print(std::string line) {
    line.erase(line.find_last_not_of(' ') + 1);
    std::printf("%s\n", line.c_str());
  }

  results& out_;
  std::string section_;
  bool decode_ = false;
};

}  // namespace gpu
