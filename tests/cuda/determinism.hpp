// What only a device can show: forward a hundred times without a pause between, and from a captured graph, always with the same bits.
#pragma once

#include <cuda_runtime_api.h>

#include <conformance/forward.hpp>

namespace conformance {

class cuda_stream {
 public:
  cuda_stream() { EXPECT_EQ(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), cudaSuccess); }
  cuda_stream(cuda_stream const&) = delete;
  cuda_stream& operator=(cuda_stream const&) = delete;
  ~cuda_stream() { EXPECT_EQ(cudaStreamDestroy(stream_), cudaSuccess); }
  cudaStream_t get() const { return stream_; }
  void wait() const { EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess); }

 private:
  cudaStream_t stream_ = nullptr;
};

// One forward call with memory of its own, enqueued and not waited for.
template <class Model>
struct enqueued_forward {
  using layer = typename forward_case<Model>::layer;
  forward_output<Model> out{forward_tokens};
  buffer<std::byte> workspace;

  explicit enqueued_forward(stamp::context_type const& ctx)
      : workspace(static_cast<std::int64_t>(moesaic::workspace_bytes<layer>(ctx, forward_tokens))) {}

  moesaic::status operator()(stamp::context_type const& ctx, forward_case<Model> const& c, prepared_forward<Model> const& w,
                             buffer<typename Model::x_type> const& x) const {
    constexpr std::int64_t stride = forward_case<Model>::stride, hidden = Model::config.hidden;
    moesaic::forward_extras<typename Model::y_type> extras{.choice = out.choice()};
    if (Model::residual) extras.residual = {c.residual.data(), forward_tokens, hidden, stride};
    return moesaic::forward<layer>(ctx, moesaic::matrix_view<typename Model::x_type const>(x.data(), forward_tokens, hidden, stride),
                                   w.weights, moesaic::matrix_view(out.y.data(), forward_tokens, hidden, stride),
                                   {workspace.data(), workspace.bytes()}, extras);
  }
};

TEST(determinism, forward_gives_the_same_bits_a_hundred_times) {
  for_each_forward_case([](auto& c, auto model) {
    using Model = decltype(model);
    prepared_forward<Model> const w(stamp::context(stamp::settings[0]), c);
    forward_output<Model> const first = run_forward(stamp::context(stamp::settings[0]), c, w, 0, forward_tokens);
    cuda_stream const stream, other;
    stamp::context_type const ctx(stream.get()), beside(other.get());
    std::vector<enqueued_forward<Model>> runs;
    for (int i = 0; i < 10; ++i) runs.emplace_back(ctx);
    for (int round = 0; round < 10; ++round) {
      for (std::size_t i = 0; i < runs.size(); ++i) {
        runs[i].out.y.fill_bytes(0xA5);
        runs[i].workspace.fill_bytes(static_cast<unsigned char>(37 * i));
        need(runs[i](i % 3 == 2 ? beside : ctx, c, w, c.x));  // two streams, so that launches share the device
      }
      stream.wait();
      other.wait();
      for (auto const& run : runs) expect_same_output(run.out, first, 0);
      if (testing::Test::HasFailure()) return;
    }
    report().count("forward calls compared with the first", 100);
  });
}

TEST(graph, replays_with_the_bits_of_forward) {
  for_each_forward_case([](auto& c, auto model) {
    using Model = decltype(model);
    prepared_forward<Model> const w(stamp::context(stamp::settings[0]), c);
    cuda_stream const stream;
    stamp::context_type const ctx(stream.get());
    enqueued_forward<Model> captured(ctx), direct(ctx);
    buffer<typename Model::x_type> const x(c.x);

    cudaGraph_t graph = nullptr;
    cudaGraphExec_t runnable = nullptr;
    ASSERT_EQ(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeGlobal), cudaSuccess);
    moesaic::status const s = captured(ctx, c, w, x);
    cudaError_t const end = cudaStreamEndCapture(stream.get(), &graph);
    need(s);
    ASSERT_EQ(end, cudaSuccess) << cudaGetErrorString(end);
    std::size_t nodes = 0;
    ASSERT_EQ(cudaGraphGetNodes(graph, nullptr, &nodes), cudaSuccess);
    report().count("kernels of a captured forward, " + c.name(), static_cast<long>(nodes));
    ASSERT_EQ(cudaGraphInstantiate(&runnable, graph, 0), cudaSuccess);
    for (int replay = 0; replay < 3; ++replay) {
      std::copy(c.x.begin(), c.x.end(), x.begin());
      std::rotate(x.begin(), x.begin() + replay * c.stride, x.end());  // other tokens, other experts, the same graph
      need(direct(ctx, c, w, x));
      stream.wait();
      captured.out.y.fill_bytes(0xA5);
      ASSERT_EQ(cudaGraphLaunch(runnable, stream.get()), cudaSuccess);
      stream.wait();
      expect_same_output(captured.out, direct.out, 0);
    }
    EXPECT_EQ(cudaGraphExecDestroy(runnable), cudaSuccess);
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  });
}

}  // namespace conformance
