// The pool of an engine that is already inside its own threads: they all make the same call, and each does its share.
#pragma once

#include <cstdint>

#include <moesaic/cpu/pool.hpp>

namespace moesaic::inline MOESAIC_ABI::cpu {

/// Items go round: thread 0 takes items 0, threads, 2 · threads …
struct by_turns {};

/// One of `threads` threads that all call the same moesaic functions with the same arguments, each through a worker of its own:
///
///   cpu::worker me(params->ith, params->nth, [&] { ggml_barrier(params->threadpool); });
///   status s = forward<layer>(cpu::on{me}, x, weights, y, workspace);     // the same status in all of them
///
/// barrier() returns once all threads have called it, and what they wrote before is then visible to all. It is called once at the end of
/// every parallel_for, so x must be complete when the first thread calls, and y is when any thread returns. A wrong argument is found
/// before the first barrier, by all of them.
///
/// Without `tickets`, items go by turns. With them, items go to whichever thread is free: tickets() gives 0, 1, 2 … across all threads
/// (fetch_add on a counter that the engine owns), starting at 0 after all of the workers that share it have been made.
///
/// Nothing is written outside parallel_for but to the caller's own objects: give each thread its own prepared_weights to fill. Items never
/// call parallel_for. Held by reference: cpu::on{me} needs a named worker.
template <class Barrier, class Tickets = by_turns>
class worker {
 public:
  worker(int thread, int threads, Barrier barrier, Tickets tickets = {})
      : thread_(thread), threads_(threads), barrier_(static_cast<Barrier&&>(barrier)), tickets_(static_cast<Tickets&&>(tickets)) {}
  worker(worker const&) = delete;  // it counts the tickets that have been drawn
  worker& operator=(worker const&) = delete;

  template <class F>
  void parallel_for(std::int64_t n, F const& f) {
    if constexpr (requires { tickets_(); }) {
      for (std::int64_t i = 0; (i = static_cast<std::int64_t>(tickets_()) - drawn_) < n;) f(i);
      drawn_ += n + threads_;  // each thread drew one that was no item
    } else {
      for (std::int64_t i = thread_; i < n; i += threads_) f(i);
    }
    barrier_();
  }

 private:
  int thread_, threads_;
  Barrier barrier_;
  [[no_unique_address]] Tickets tickets_;
  std::int64_t drawn_ = 0;
};

}  // namespace moesaic::inline MOESAIC_ABI::cpu
