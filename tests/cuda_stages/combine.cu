// combine_row for partials and outputs of all types, with everything that may be added to the sum.
#include <moesaic/cuda/combine.hpp>

#include "harness.hpp"

namespace stages {

using namespace moesaic;

namespace {

struct added {
  bool shared = false, residual = false, in_place = false, gated = false, biased = false, applied = false, identity = false, valid = false;
  float routed_scale = 1.0F;
};

template <class Y, class P>
void one(std::int64_t tokens, int top_k, std::int64_t cols, std::int64_t gap, int shift, added const& a, bool hostile) {
  constexpr int experts = 5, zero_experts = 3;
  auto const size = [](std::int64_t n) { return static_cast<std::size_t>(n); };
  std::int64_t const slots = tokens * top_k, stride = cols + gap;
  array<P> partials(size(slots * stride + shift)), shared(size(tokens * stride));
  array<Y> y(size(tokens * stride)), residual(size(tokens * stride));
  array<float> weights(size(slots)), gate(size(tokens)), bias(size(experts * cols)), identity(size(tokens * stride));
  array<std::int32_t> ids(size(slots)), slot_to_row(size(slots)), valid(1);
  random r{static_cast<std::uint64_t>(slots * 17 + cols)};
  for (std::size_t i = 0; i < partials.size(); ++i) partials[i] = from_float<P>(hostile ? r.hostile() : r.normal());
  for (std::size_t i = 0; i < y.size(); ++i) {
    shared[i] = from_float<P>(r.normal());
    residual[i] = from_float<Y>(hostile ? r.hostile() : r.normal());
    y[i] = from_float<Y>(r.normal());
    identity[i] = r.normal();
  }
  for (std::size_t i = 0; i < gate.size(); ++i) gate[i] = r.normal();
  for (std::size_t i = 0; i < bias.size(); ++i) bias[i] = r.normal();
  std::vector<std::int32_t> rows(size(slots));
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<std::int32_t>(i);
  for (std::size_t i = rows.size(); i > 1; --i) std::swap(rows[i - 1], rows[static_cast<std::size_t>(r.below(static_cast<int>(i)))]);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    weights[i] = hostile ? r.hostile() : r.uniform();
    ids[i] = r.below(experts + zero_experts + 2) - 1;
    slot_to_row[i] = ids[i] >= 0 && ids[i] < experts ? rows[i] : -1;
  }
  valid[0] = static_cast<std::int32_t>(tokens / 2);
  partials.upload(), shared.upload(), residual.upload(), weights.upload(), gate.upload(), bias.upload(), identity.upload();
  ids.upload(), slot_to_row.upload(), valid.upload();
  auto const make = [&](auto const& at) {
    combine_extras<Y, P> e;
    if (a.shared) e.shared = matrix_view<P const>(at(shared), tokens, cols, stride);
    if (a.residual) e.residual = matrix_view<Y const>(a.in_place ? at(y) : at(residual), tokens, cols, stride);
    e.routed_scale = a.routed_scale;
    e.shared_scale = 0.625F;
    if (a.gated) e.shared_gate = at(gate);
    if (a.biased) e.down_bias = at(bias);
    e.weights_are_applied = a.applied;
    if (a.identity) {
      e.identity = matrix_view<float const>(at(identity), tokens, cols, stride);
      e.zero_experts = zero_experts;
    }
    if (a.valid) e.valid_tokens = at(valid);
    dispatch_map const map{nullptr, nullptr, at(slot_to_row), tokens, top_k, experts};
    return combine_row<Y, P>{{at(partials) + shift, slots, cols, stride}, map, at(ids), at(weights), e, {at(y), tokens, cols, stride}};
  };
  check(text("combine y of ", sizeof(Y), " partials of ", sizeof(P), " bytes, T=", tokens, " K=", top_k, " cols ", cols, " gap ", gap,
             " shift ", shift, a.shared ? " shared" : "", a.gated ? " gated" : "", a.residual ? " residual" : "",
             a.in_place ? " in place" : "", a.biased ? " biased" : "", a.applied ? " applied" : "", a.identity ? " identity" : "",
             a.valid ? " valid" : "", " scale ", a.routed_scale, hostile ? " hostile" : ""),
        tokens, make, output("y", y));
}

template <class Y, class P>
void all() {
  added const kinds[] = {{.routed_scale = 1.0F},
                         {.shared = true, .routed_scale = 1.0F},
                         {.shared = true, .residual = true, .routed_scale = 2.5F},
                         {.shared = true, .residual = true, .in_place = true, .gated = true, .routed_scale = 1.0F},
                         {.residual = true, .biased = true, .applied = true, .routed_scale = 1.0F},
                         {.identity = true, .routed_scale = 6.0F},
                         {.shared = true, .biased = true, .identity = true, .valid = true, .routed_scale = 1.0F}};
  for (std::int64_t const tokens : {1, 3, 130})
    for (int const top_k : {1, 2, 6, 8, 9, 12, 17})
      for (std::int64_t const cols : {8, 64, 100, 2048, 2880, 7168, 13}) {
        if (tokens * cols > (on_fibers ? 3000 : 22000)) continue;
        if (tokens > 3 && top_k > 9) continue;
        for (added const& a : kinds)
          for (bool const hostile : {false, true}) one<Y, P>(tokens, top_k, cols, 8, 0, a, hostile);
        if (cols <= 100) one<Y, P>(tokens, top_k, cols, 8, 1, kinds[2], true);
        if (cols <= 100) one<Y, P>(tokens, top_k, cols, 0, 0, kinds[3], true);
      }
}

}  // namespace

void check_combine() {
  all<bf16, bf16>();
  all<bf16, float>();
  all<float, bf16>();
  all<fp16, fp16>();
  all<float, float>();
}

}  // namespace stages
