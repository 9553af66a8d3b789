// What a forward call costs, stage by stage, before it is made: launches, bytes, operations, and the time that a machine's rates allow.
// Pure arithmetic on a configuration; benchmarks divide what they measure by it.
#pragma once

#include <cstdint>

#include <moesaic/config/layer.hpp>
#include <moesaic/core/views.hpp>
#include <moesaic/num/block_scale.hpp>
#include <moesaic/pipeline/workspace.hpp>

namespace moesaic::inline MOESAIC_ABI {

/// One stage. Bytes count what its launches read and write once each: weights of the experts that have rows, and rows (a gathered token
/// once, however many of its experts read it: caches are for that). Operations are those of the GEMMs, two for each multiply-add.
struct stage_cost {
  char const* name = "";
  int launches = 0;
  double weight_bytes = 0.0, row_bytes = 0.0, operations = 0.0;

  constexpr double bytes() const { return weight_bytes + row_bytes; }
};

/// What a machine can do: measured ceilings, not data sheets.
struct machine_rates {
  double bytes_per_second;
  double operations_per_second;
  double seconds_per_launch = 0.0;
};

/// The roofline: no stage is faster than its bytes, its operations or its launches.
constexpr double roofline_seconds(stage_cost const& s, machine_rates const& m) {
  double const memory = s.bytes() / m.bytes_per_second, arithmetic = s.operations / m.operations_per_second;
  return s.launches * m.seconds_per_launch + (memory > arithmetic ? memory : arithmetic);
}

struct layer_cost {
  static constexpr int most_stages = 10;
  stage_cost stage[most_stages];
  int stages = 0;

  constexpr stage_cost const* begin() const { return stage; }
  constexpr stage_cost const* end() const { return stage + stages; }

  constexpr stage_cost total() const {
    stage_cost t{.name = "layer"};
    for (stage_cost const& s : *this)
      t.launches += s.launches, t.weight_bytes += s.weight_bytes, t.row_bytes += s.row_bytes, t.operations += s.operations;
    return t;
  }
};

/// The sum of the stages' rooflines: stages run one after another.
constexpr double roofline_seconds(layer_cost const& c, machine_rates const& m) {
  double sum = 0.0;
  for (stage_cost const& s : c) sum += roofline_seconds(s, m);
  return sum;
}

/// The call that is described. Numbers below 0 stand for what uniform routing makes them on average.
struct layer_work {
  std::int64_t tokens = 1;
  double active_experts = -1.0;  ///< experts that have rows: E · (1 − (1 − K/(E+Z))^T)
  double rows = -1.0;            ///< slots of an expert, not of a zero expert: T · K · E/(E+Z)
  int x_bytes = 4, y_bytes = 4;  ///< of an element
  bool residual = false;
  bool gathers_own_rows = false;  ///< and those are the tokens', gathered by the step up
  int own_element_bytes = 0;      ///< not 0: the backend gathers rows of its own
  bool fuses_up = false;          ///< gate and up rows go through no memory; hidden rows do where they are to be quantised
  bool quantizes_up = false;      ///< which is no launch of its own then, but counters are zeroed by the front or by one
  int partial_bytes = 4;          ///< of an element that a down GEMM writes
  bool router_reads_x = false;    ///< as it is given, not a copy in f32
  bool experts_read_x = false;    ///< the step up reads x as it is given
  bool fuses_front = false;       ///< select, map and the quantising of x are one launch
  bool folds_shared = false;      ///< the shared expert is a group of the routed GEMMs
  bool combines_in_down = false;  ///< the combine is part of the step down
};

constexpr double expected_active_experts(moe_config const& c, std::int64_t tokens) {
  double missed = 1.0, factor = 1.0 - static_cast<double>(c.top_k) / c.choices();
  for (std::int64_t n = tokens; n > 0; n /= 2, factor *= factor)
    if (n % 2 == 1) missed *= factor;
  return c.experts * (1.0 - missed);
}

/// Bytes of one stored matrix [n, k] with its scales.
constexpr double matrix_bytes(weight_format f, std::int64_t n, std::int64_t k) {
  double const elements = static_cast<double>(n) * static_cast<double>(k);
  if (f == weight_format::f32) return elements * 4;
  if (f == weight_format::bf16) return elements * 2;
  return elements + static_cast<double>(ceil_div(n, scale_block) * ceil_div(k, scale_block)) * 4;
}

/// Bytes of one row of k columns as a GEMM reads it: fp32 (rounded or not), or codes and scales.
constexpr double row_bytes(activation_format f, std::int64_t k) {
  if (!is_quantized(f)) return static_cast<double>(k) * 4;
  return static_cast<double>(k) + static_cast<double>(ceil_div(k, scale_block)) * (f == activation_format::e4m3_1x128 ? 4 : 1);
}

constexpr layer_cost describe(moe_config const& c, layer_policy const& p, layer_work const& w) {
  double const T = static_cast<double>(w.tokens), hidden = c.hidden, R = c.choices(), S = T * c.top_k;
  double const rows = w.rows >= 0.0 ? w.rows : S * c.experts / R;
  double const active = w.active_experts >= 0.0 ? w.active_experts : expected_active_experts(c, w.tokens);
  int const projections = is_gated(c.act) ? 2 : 1;
  bool const own = w.own_element_bytes != 0, quantizes = is_quantized(p.activations) && !own;
  auto const row = [&](std::int64_t k) { return own ? static_cast<double>(k) * w.own_element_bytes : row_bytes(p.activations, k); };
  double const x_row = w.experts_read_x ? static_cast<double>(c.hidden) * w.x_bytes : row(c.hidden);
  layer_cost out;
  auto add = [&out](stage_cost const& s) { out.stage[out.stages++] = s; };
  auto add_up = [&](char const* name, double experts, double sources, double targets, int width) {
    int const through_memory = w.fuses_up ? (quantizes ? 1 : 0) : projections;  // fp32 rows, written and read
    int const launches = w.fuses_up ? (quantizes && !w.quantizes_up ? 2 : 1) : projections + 1;
    double const inter = width;
    add({name, launches, experts * projections * matrix_bytes(p.weights, width, c.hidden),
         (w.fuses_up ? 1 : projections) * sources * x_row + 2 * through_memory * targets * inter * 4 + targets * row(width),
         2 * projections * targets * hidden * inter});
  };
  auto add_down = [&](char const* name, double experts, double targets, int width) {
    add({name, 1, experts * matrix_bytes(p.weights, c.hidden, width), targets * (row(width) + hidden * w.partial_bytes),
         2 * targets * hidden * width});
  };

  bool const wide =
      !w.router_reads_x || (!own && !is_quantized(p.activations) && !w.experts_read_x) || c.zero_experts > 0 || c.shared_gated;
  if (w.x_bytes != 4 && wide) add({"widen", 1, 0, T * hidden * (w.x_bytes + 4), 0});
  add({"router", 1, matrix_bytes(p.router, c.choices(), c.hidden), T * (hidden * (w.router_reads_x ? w.x_bytes : 4) + R * 4),
       2 * T * hidden * R});
  add({w.fuses_front ? "front" : "select", 1, 0, T * R * 4 + S * 8, 0});
  stage_cost& front = out.stage[out.stages - 1];
  // What the front does in the launch of "select" where it is in one piece.
  auto add_to_front = [&](stage_cost const& s) {
    if (!w.fuses_front) return add(s);
    front.row_bytes += s.row_bytes;
  };
  add_to_front({"map", 1, 0, S * 12 + (c.experts + 1) * 4.0, 0});
  if (own) {
    double const shared = c.shared_inter > 0 ? T : 0.0, sources = (T < rows ? T : rows) + shared;
    bool const once = w.folds_shared || w.gathers_own_rows;
    double const targets = w.gathers_own_rows ? T : rows + shared;
    add_to_front(
        {"gather", c.shared_inter > 0 && !once ? 2 : 1, 0, (once ? T : sources) * hidden * w.x_bytes + targets * row(c.hidden), 0});
    if (w.fuses_front && c.shared_inter > 0 && !once) front.launches += 1;
  } else if (is_quantized(p.activations)) {
    add_to_front({"quantize", w.quantizes_up ? 2 : 1, 0, T * (hidden * w.x_bytes + row_bytes(p.activations, c.hidden)), 0});
  } else if (p.activations != activation_format::f32) {
    add({"quantize", 1, 0, T * (hidden * w.x_bytes + row_bytes(p.activations, c.hidden)), 0});
  }
  double const folded = w.folds_shared ? 1.0 : 0.0;
  // Tokens that are not gathered into rows are read once, by whatever experts.
  add_up("up", active + folded, own && !w.gathers_own_rows ? rows + folded * T : (T < rows || w.folds_shared ? T : rows), rows + folded * T,
         c.inter);
  add_down("down", active + folded, rows + folded * T, c.inter);
  if (c.shared_inter > 0 && !w.folds_shared) {
    add_up("shared up", 1, T, T, c.shared_inter);
    add_down("shared down", 1, T, c.shared_inter);
  }
  if (c.shared_gated) {
    stage_cost& s = out.stage[out.stages - 1];
    s.launches += 1;
    s.weight_bytes += matrix_bytes(p.router, 1, c.hidden);
    s.row_bytes += T * (hidden + 1) * 4;
    s.operations += 2 * T * hidden;
  }
  double const inputs = (rows + (c.shared_inter > 0 ? T : 0.0)) * hidden * w.partial_bytes + (c.zero_experts > 0 ? T * hidden * 4 : 0.0);
  add({"combine", w.combines_in_down ? 0 : 1, 0, inputs + T * hidden * w.y_bytes * (w.residual ? 2 : 1) + S * 8, 0});
  return out;
}

/// forward<L>(ctx, …) of `w`, as this backend runs it. constexpr: describe<L, B>(w).
template <class L, backend B>
constexpr layer_cost describe(layer_work w) {
  if constexpr (detail::has_own_rows<B, L>) w.own_element_bytes = static_cast<int>(sizeof(typename detail::expert_rows_t<L, B>::element));
  w.gathers_own_rows = detail::gathers_own_rows<B, L>;
  w.fuses_up = detail::fuses_up<B, L>;
  w.quantizes_up = detail::quantizes_up<B, L>;
  w.partial_bytes = static_cast<int>(sizeof(detail::partial_t<L, B>));
  w.experts_read_x = w.x_bytes == 2 && detail::experts_read<B, L, bf16>;
  w.fuses_front = detail::fuses_front<B, L>;
  w.folds_shared = detail::folds_shared<B, L>;
  w.combines_in_down = detail::combines_in_down<B, L>(w.tokens);
  w.router_reads_x = w.x_bytes == 2 && reads_rows_of<B, bf16>;
  return describe(L::config, L::policy, w);
}
template <class L, backend B>
constexpr layer_cost describe(B const&, layer_work const& w) {
  return describe<L, B>(w);
}

}  // namespace moesaic::inline MOESAIC_ABI
