// Included before everything in the preset `tsan`. The thread sanitizer knows no fences, and Kokkos's barrier inside a team is made of
// relaxed atomics and sequentially consistent fences. Those have one order, so each is told as a step of one counter: what came before a
// fence is before what comes after a later one. The linker's --wrap sends fences here.
#pragma once

extern "C" __attribute__((weak, noinline)) void __wrap___tsan_atomic_thread_fence(int /*order*/) {
  static unsigned fences;
  __atomic_fetch_add(&fences, 1, __ATOMIC_ACQ_REL);
}
