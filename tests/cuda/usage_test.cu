// The code of docs/cuda.md, called. What needs a GPU is skipped where there is none.
#include "usage.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <type_traits>
#include <vector>

namespace {

using moesaic::bf16;

static_assert(std::is_same_v<decltype(moesaic::cuda::on{cudaStream_t{}}), moesaic::cuda::on<>>);
static_assert(std::is_same_v<decltype(moesaic::cuda::on{cudaStream_t{}, moesaic::tune::sm90a{}}), backend>);
static_assert(std::is_same_v<decltype(moesaic::cuda::on{cudaStream_t{}, exact{}}), moesaic::cuda::on<exact>>);
static_assert(moesaic::backend<moesaic::cuda::on<exact>>);
static_assert(moesaic::detail::has_own_rows<backend, moesaic::layer<my_model, moesaic::policies::fp8_w8a8_ue8m0>>);
static_assert(moesaic::detail::has_own_rows<moesaic::cuda::on<exact>, layer> && moesaic::detail::folds_shared<backend, layer>);

// What docs/cuda.md says of DeepSeek-V3.
template <class Context, class Policy>
constexpr int launches =
    moesaic::describe<moesaic::layer<moesaic::models::deepseek_v3, Policy>, Context>({.tokens = 64, .x_bytes = 2}).total().launches;
static_assert(launches<moesaic::cuda::on<>, moesaic::policies::fp8_weights> == 5 &&
              launches<moesaic::cuda::on<>, moesaic::policies::fp8_w8a8> == 5);
static_assert(launches<backend, moesaic::policies::fp8_w8a8> == 5);

bool has_gpu() {
  int device = 0;
  cudaDeviceProp properties{};
  return moesaic::cuda::runs_on_this_device() && cudaGetDevice(&device) == cudaSuccess &&
         cudaGetDeviceProperties(&properties, device) == cudaSuccess && properties.major == 9 && properties.minor == 0;
}

/// Memory that host and device see.
struct managed {
  std::vector<void*> all;

  managed() = default;
  managed(managed const&) = delete;
  managed& operator=(managed const&) = delete;
  ~managed() {
    for (void* p : all) static_cast<void>(cudaFree(p));
  }
  template <class T>
  T* take(std::size_t count) {
    void* p = nullptr;
    EXPECT_EQ(cudaMallocManaged(&p, count * sizeof(T)), cudaSuccess);
    if (p != nullptr) all.push_back(p);
    return static_cast<T*>(p);
  }
};

moesaic::layer_weights<layer> random_weights(managed& m) {
  constexpr moesaic::moe_config c = layer::config;
  std::mt19937 bits(671);
  auto const matrices = [&](int experts, std::int64_t n, std::int64_t k) {
    auto const codes = static_cast<std::size_t>(experts * n * k), scales = codes / (moesaic::scale_block * moesaic::scale_block);
    auto* const code = m.take<std::uint8_t>(codes);
    auto* const scale = m.take<float>(scales);
    for (std::size_t i = 0; i < codes; ++i) code[i] = static_cast<std::uint8_t>((bits() & 0x80) | bits() % 0x60);
    for (std::size_t i = 0; i < scales; ++i) scale[i] = 0.01F + static_cast<float>(bits() % 64) * 0.001F;
    return moesaic::weight_matrices<moesaic::weight_format::e4m3_128x128>{
        experts, n, k, {code, n * k}, {scale, n * k / (moesaic::scale_block * moesaic::scale_block)}};
  };
  moesaic::layer_weights<layer> w;
  auto* const router = m.take<bf16>(static_cast<std::size_t>(c.experts * c.hidden));
  for (int i = 0; i < c.experts * c.hidden; ++i) router[i] = moesaic::to_bf16(static_cast<float>(bits() % 2001) * 0.0001F - 0.1F);
  w.router = {1, c.experts, c.hidden, {router}};
  w.gate = matrices(c.experts, c.inter, c.hidden);
  w.up = matrices(c.experts, c.inter, c.hidden);
  w.down = matrices(c.experts, c.hidden, c.inter);
  w.shared_gate = matrices(1, c.shared_inter, c.hidden);
  w.shared_up = matrices(1, c.shared_inter, c.hidden);
  w.shared_down = matrices(1, c.hidden, c.shared_inter);
  return w;
}

TEST(cuda_usage, a_device_that_cannot_run_the_program_is_a_status) {
  if (moesaic::cuda::runs_on_this_device()) GTEST_SKIP() << "this one can";
  my_weights weights;
  moesaic::status const s = load(backend{}, {}, {}, weights);
  EXPECT_EQ(s.code, moesaic::errc::device_refused);
  EXPECT_STREQ(s.argument, "device");
  EXPECT_NE(s.value, 0);
}

TEST(cuda_usage, wrong_arguments_need_no_device_to_be_named) {
  alignas(16) static bf16 row[512] = {};
  moesaic::matrix_view<bf16 const> const x(row, 1, 511, 512);
  EXPECT_STREQ(describe(moe(backend{}, {}, {}, x, {})).c_str(), "x.cols is 511, expected 512");
}

TEST(cuda_usage, sizes_need_no_device) {
  // Per expert and matrix a tensor map of 128 bytes at most; no weights are copied.
  EXPECT_LE(moesaic::prepared_bytes<layer>(backend{}), std::size_t{3} * (layer::config.experts + 1) * 128 + 8 * 64);
  EXPECT_GT(moesaic::workspace_bytes<layer>(backend{}, 64), 0U);
}

TEST(cuda_usage, a_replay_has_the_bits_of_a_call) {
  if (!has_gpu()) GTEST_SKIP() << "no Hopper here";
  constexpr std::int64_t tokens = 48, hidden = layer::config.hidden;
  managed m;
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  backend const ctx{stream, {}};
  std::size_t const packed = moesaic::prepared_bytes<layer>(ctx), bytes = moesaic::workspace_bytes<layer>(ctx, tokens);
  my_weights weights;
  moesaic::status s = load(ctx, random_weights(m), {m.take<char>(packed), packed}, weights);
  ASSERT_TRUE(s) << describe(s).c_str();
  auto* const x = m.take<bf16>(tokens * hidden);
  auto* const direct = m.take<bf16>(tokens * hidden);
  auto* const replayed = m.take<bf16>(tokens * hidden);
  std::mt19937 bits(1);
  for (int i = 0; i < tokens * hidden; ++i) x[i] = moesaic::to_bf16(static_cast<float>(bits() % 2001) * 0.001F - 1.0F);
  moesaic::memory const workspace{m.take<char>(bytes), bytes};
  moesaic::matrix_view<bf16 const> const in(x, tokens, hidden);
  s = moe(ctx, weights, workspace, in, {direct, tokens, hidden});
  ASSERT_TRUE(s) << describe(s).c_str();
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  cudaGraphExec_t graph = nullptr;
  s = capture(
      stream,
      [&] {
        return moe(ctx, weights, workspace, in, {replayed, tokens, hidden});
      },
      graph);
  ASSERT_TRUE(s) << describe(s).c_str();
  for (int replay = 0; replay < 2; ++replay) {
    std::memset(replayed, 0xA5, tokens * hidden * sizeof(bf16));
    ASSERT_EQ(cudaGraphLaunch(graph, stream), cudaSuccess);
    ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    EXPECT_EQ(std::memcmp(direct, replayed, tokens * hidden * sizeof(bf16)), 0);
  }
  EXPECT_EQ(cudaGraphExecDestroy(graph), cudaSuccess);
  EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
}

}  // namespace
