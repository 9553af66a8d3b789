// Where the time of a forward call goes: a context that records an event after each call of its backend. In the graph, GEMMs start before
// the kernel ahead of them is over; between events they cannot.
#pragma once

#include <array>
#include <vector>

#include <moesaic/cuda.hpp>

#include "device.hpp"

namespace gpu {

enum class layer_step { widen, router, front, shared_gather, up, down, shared_up, shared_down, combine, other };
inline constexpr int layer_steps = static_cast<int>(layer_step::other);
constexpr char const* layer_step_names[] = {"widen", "router", "front", "sh. quant", "up", "down", "shared up", "sh. down", "combine"};

/// The events of some forward calls.
class step_log {
 public:
  void begin(cudaStream_t s) { record(layer_step::other, s); }
  void record(layer_step step, cudaStream_t s) {
    steps_.push_back(step);
    events_.emplace_back();
    ok(cudaEventRecord(events_.back(), s));
  }
  /// Microseconds of each step, one for each call. When the stream has done its work.
  std::array<std::vector<double>, layer_steps> times() const {
    std::array<std::vector<double>, layer_steps> all;
    for (std::size_t i = 1; i < steps_.size(); ++i) {
      if (steps_[i] == layer_step::other) continue;
      float ms = 0.0F;
      ok(cudaEventElapsedTime(&ms, events_[i - 1], events_[i]));
      all[static_cast<std::size_t>(steps_[i])].push_back(static_cast<double>(ms) * 1e3);
    }
    return all;
  }

 private:
  std::vector<layer_step> steps_;
  std::vector<event> events_;
};

template <class Arch>
struct stepwise : moesaic::cuda::on<Arch> {
  using base = moesaic::cuda::on<Arch>;
  using status = moesaic::status;
  step_log* log = nullptr;

  explicit stepwise(cudaStream_t s, step_log* l = nullptr) : base(s), log(l) {}

  template <class F>
  status launch(std::int64_t n, F const& f) const {
    return after(base::launch(n, f), step_of(f));
  }
  template <class... Arguments>
  status front(Arguments const&... arguments) const {
    return after(base::front(arguments...), layer_step::front);
  }
  template <moesaic::activation_format F, class... Arguments>
  status gather(Arguments const&... arguments) const {
    return after(base::template gather<F>(arguments...), layer_step::shared_gather);
  }
  template <moesaic::activation_format F, class Rows, class Prepared, class Rule, class Out, class... More>
  status up(Rows const& x, Prepared const& gate, Prepared const& up, std::int32_t const* offsets, Rule const& rule, Out const& out,
            More const&... more) const {
    return after(base::template up<F>(x, gate, up, offsets, rule, out, more...),
                 offsets != nullptr ? layer_step::up : layer_step::shared_up);
  }
  template <class Rows, class Prepared, class Out, class... More>
  status grouped_gemm(moesaic::gemm_input<Rows> const& a, Prepared const& w, std::int32_t const* offsets, moesaic::matrix_view<Out> out,
                      More const&... more) const {
    constexpr bool routes = !std::is_same_v<Rows, moesaic::cuda::sorted_rows<float>>;
    return after(base::grouped_gemm(a, w, offsets, out, more...), routes               ? layer_step::router
                                                                  : offsets != nullptr ? layer_step::down
                                                                                       : layer_step::shared_down);
  }

 private:
  status after(status s, layer_step step) const {
    if (s && log != nullptr) log->record(step, this->stream);
    return s;
  }
  template <class F>
  static constexpr layer_step step_of(F const&) {
    return layer_step::other;
  }
  template <class T, moesaic::activation_format F>
  static constexpr layer_step step_of(moesaic::widen_row<T, F> const&) {
    return layer_step::widen;
  }
  template <class Y, class P>
  static constexpr layer_step step_of(moesaic::combine_row<Y, P> const&) {
    return layer_step::combine;
  }
};

}  // namespace gpu
