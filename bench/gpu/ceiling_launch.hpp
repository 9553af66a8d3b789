// What a kernel launch costs that does nothing: in a stream, in a graph, each with and without programmatic dependent launch.
#pragma once

#include <chrono>
#include <string>

#include "bench.hpp"

namespace gpu {

__global__ void nothing() {}
// Lets its successor start at once and waits for its predecessor: all of a launch that can overlap does.
__global__ void nothing_dependent() {
  asm volatile("griddepcontrol.launch_dependents;");
  asm volatile("griddepcontrol.wait;" ::: "memory");
}

inline void launches(bench& b) {
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

}  // namespace gpu
