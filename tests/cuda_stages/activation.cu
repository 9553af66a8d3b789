// widen_row, activate_row and activate_quantize_rows: all functions, with and without terms, in place, and with fewer rows than there are.
#include <moesaic/cuda/activation.hpp>

#include "harness.hpp"

namespace stages {

using namespace moesaic;

namespace {

template <class T, activation_format F>
void widen(std::int64_t rows, std::int64_t cols, std::int64_t gap) {
  array<T> x(static_cast<std::size_t>(rows * (cols + gap)));
  array<float> out(static_cast<std::size_t>(rows * (cols + gap)));
  random r{static_cast<std::uint64_t>(rows * 7 + cols)};
  for (std::size_t i = 0; i < x.size(); ++i)
    if constexpr (sizeof(T) == 2)
      x[i] = T{static_cast<std::uint16_t>(r.next())};
    else
      x[i] = r.hostile();
  x.upload();
  auto const make = [&](auto const& at) { return widen_row<T, F>{{at(x), rows, cols, cols + gap}, {at(out), rows, cols, cols + gap}}; };
  check(text("widen ", sizeof(T), " bytes to format ", static_cast<int>(F), ", ", rows, " x ", cols, " gap ", gap), rows, make,
        output("out", out));
}

/// Where an activation's rows and terms lie.
struct rows_and_terms {
  std::int64_t rows, cols, gap, experts = 3;
  array<float> gate, up, weights, gate_bias, up_bias;
  array<std::int32_t> row_to_slot, ids, row_count;

  rows_and_terms(std::int64_t n, std::int64_t c, std::int64_t g, int count)
      : rows(n),
        cols(c),
        gap(g),
        gate(size(n * (c + g))),
        up(size(n * (c + g))),
        weights(size(n)),
        gate_bias(size(experts * c)),
        up_bias(size(experts * c)),
        row_to_slot(size(n)),
        ids(size(n)),
        row_count(1) {
    random r{static_cast<std::uint64_t>(n * 13 + c)};
    for (std::size_t i = 0; i < up.size(); ++i) gate[i] = 3.0F * r.hostile(), up[i] = 3.0F * r.hostile();
    for (std::size_t i = 0; i < gate_bias.size(); ++i) gate_bias[i] = r.normal(), up_bias[i] = r.normal();
    for (std::size_t i = 0; i < ids.size(); ++i) {
      ids[i] = r.below(3);
      weights[i] = r.uniform();
      row_to_slot[i] = r.below(4) == 0 ? -1 : static_cast<std::int32_t>(ids.size() - 1 - i);
    }
    row_count[0] = count;
    gate.upload(), up.upload(), weights.upload(), gate_bias.upload(), up_bias.upload(), row_to_slot.upload(), ids.upload(),
        row_count.upload();
  }
  static std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }

  template <class At, class T>
  matrix_view<T> view(At const& at, array<T>& a) {
    return {at(a), rows, cols, cols + gap};
  }
  template <activation_fn A, class Terms, class At>
  activation_rule<A, Terms> rule(At const& at, float limit, bool biased) {
    activation_rule<A, Terms> rule{.limit = limit};
    if constexpr (std::is_same_v<Terms, expert_terms>)
      rule.terms = {at(row_to_slot), at(ids), biased ? nullptr : at(weights), biased ? at(gate_bias) : nullptr,
                    biased ? at(up_bias) : nullptr};
    return rule;
  }
};

template <activation_fn A, class Terms>
void activate_all(float limit, bool biased) {
  for (std::int64_t const rows : {1, 5, 66})
    for (std::int64_t const cols : {8, 96, 128, 136, 2048, 4000, 10}) {
      if (on_fibers && rows * cols > 6000) continue;
      for (int const count : {-1, 3, 100}) {
        std::string const name =
            text("function ", static_cast<int>(A), std::is_same_v<Terms, expert_terms> ? biased ? " biases" : " weights" : "", " limit ",
                 limit, ", ", rows, " x ", cols, " row_count ", count);
        auto const row_count = [&](rows_and_terms& m, auto const& at) { return count >= 0 ? at(m.row_count) : nullptr; };
        {
          rows_and_terms m(rows, cols, 4, count);
          array<float> out(rows_and_terms::size(rows * (cols + 4)));
          auto const make = [&](auto const& at) {
            return activate_row<activation_format::f32, A, Terms>{m.view(at, m.gate), m.view(at, m.up), row_count(m, at), m.view(at, out),
                                                                  m.template rule<A, Terms>(at, limit, biased)};
          };
          check("activate to f32, " + name, rows, make, output("out", out));
        }
        {
          rows_and_terms m(rows, cols, 0, count);
          auto const make = [&](auto const& at) {
            return activate_row<activation_format::bf16, A, Terms>{m.view(at, m.gate), m.view(at, m.up), row_count(m, at), m.view(at, m.up),
                                                                   m.template rule<A, Terms>(at, limit, biased)};
          };
          check("activate to bf16 in place, " + name, rows, make, output("up", m.up));
        }
        {
          rows_and_terms m(rows, cols, 0, count);
          std::int64_t const blocks = ceil_div(cols, scale_block);
          array<std::uint8_t> codes(rows_and_terms::size(rows * cols));
          array<float> scales(rows_and_terms::size(blocks * align_up(rows, 4)));
          auto const make = [&](auto const& at) {
            return activate_quantize_rows<float, A, Terms>{m.view(at, m.gate),
                                                           m.view(at, m.up),
                                                           row_count(m, at),
                                                           {at(codes), at(scales), rows, cols},
                                                           m.template rule<A, Terms>(at, limit, biased)};
          };
          check("activate and quantise, " + name, rows * blocks, make, output("codes", codes), output("scales", scales));
        }
      }
    }
}

}  // namespace

void check_activation() {
  for (std::int64_t const rows : {1, 3, 70})
    for (std::int64_t const cols : {4, 8, 100, 1024, 7168, 6}) {
      if (on_fibers && rows * cols > 30000) continue;
      widen<bf16, activation_format::f32>(rows, cols, 0);
      widen<bf16, activation_format::f32>(rows, cols, 8);
      widen<fp16, activation_format::f32>(rows, cols, 0);
      widen<float, activation_format::bf16>(rows, cols, 0);
      widen<bf16, activation_format::fp16>(rows, cols, 0);
    }
  float const none = from_bits(inf_bits);
  activate_all<activation_fn::swiglu, no_terms>(none, false);
  activate_all<activation_fn::swiglu, expert_terms>(7.0F, false);
  activate_all<activation_fn::swiglu_step, no_terms>(7.0F, false);
  activate_all<activation_fn::swiglu_oai, expert_terms>(7.0F, true);
  activate_all<activation_fn::geglu, no_terms>(none, false);
  activate_all<activation_fn::geglu_tanh, no_terms>(none, false);
  activate_all<activation_fn::situ, no_terms>(none, false);
  activate_all<activation_fn::relu2, no_terms>(none, false);
}

}  // namespace stages
