// What a DeepSeek-V3 layer works on: random weights and tokens on the card. A layer with fewer experts takes the first of them.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include <moesaic/cuda.hpp>

#include "device.hpp"
#include "grouped_problem.hpp"
#include "random_data.hpp"

namespace gpu {

/// Of a GPU that holds 32 of the layer's experts and has only their tokens: the same widths, no groups.
struct deepseek_v3_slice {
  static constexpr moesaic::moe_config config = [] {
    moesaic::moe_config c = moesaic::models::deepseek_v3::config;
    c.experts = 32;
    c.n_group = c.topk_group = 1;
    return c;
  }();
};

/// Codes are those of normal numbers and scales differ by up to 3: gate, up and down rows come out of the size of 1.
class layer_memory {
 public:
  static constexpr moesaic::moe_config config = moesaic::models::deepseek_v3::config;
  static constexpr std::int64_t matrix = std::int64_t{config.inter} * config.hidden;
  static constexpr std::int64_t x_tokens = 65536, y_tokens = 32768;

  layer_memory() {
    fill_codes<<<4096, 256>>>(codes_.as<std::uint8_t>(), codes_.bytes(), 1);
    ok(cudaGetLastError());
    fill_scales<<<256, 256>>>(scales_.as<float>(), scales_.bytes() / 4, 2, 1.8e-4F);
    ok(cudaGetLastError());
    fill_normal<<<4096, 256>>>(x_.as<__nv_bfloat16>(), x_tokens * config.hidden, 3);
    ok(cudaGetLastError());
    std::mt19937 random(4);
    std::normal_distribution<float> normal;
    std::vector<moesaic::bf16> router;
    for (std::int64_t i = 0; i < std::int64_t{config.experts} * config.hidden; ++i) {
      router.push_back(moesaic::to_bf16(0.01F * normal(random)));
      host_router.push_back(static_cast<double>(moesaic::to_float(router.back())));
    }
    for (int e = 0; e < config.experts; ++e) host_bias.push_back(0.01F * normal(random));
    ok(cudaMemcpy(router_.as<moesaic::bf16>(), router.data(), router_.bytes(), cudaMemcpyHostToDevice));
    ok(cudaMemcpy(bias_.as<float>(), host_bias.data(), bias_.bytes(), cudaMemcpyHostToDevice));
    ok(cudaDeviceSynchronize());
  }

  template <class L>
  moesaic::layer_weights<L> weights() const {
    constexpr moesaic::moe_config c = L::config;
    static_assert(c.experts <= config.experts && c.hidden == config.hidden && c.inter == config.inter && c.shared_inter == config.inter);
    moesaic::layer_weights<L> w;
    w.router = {1, c.experts, c.hidden, {router_.as<moesaic::bf16>(), std::int64_t{config.experts} * c.hidden}};
    w.bias = bias_.as<float>();
    constexpr std::int64_t all = config.experts;
    w.gate = experts(0, c.experts, c.inter, c.hidden);
    w.up = experts(all, c.experts, c.inter, c.hidden);
    w.down = experts(2 * all, c.experts, c.hidden, c.inter);
    w.shared_gate = experts(3 * all, 1, c.inter, c.hidden);
    w.shared_up = experts(3 * all + 1, 1, c.inter, c.hidden);
    w.shared_down = experts(3 * all + 2, 1, c.hidden, c.inter);
    return w;
  }

  /// x [x_tokens, H]; y and its double [y_tokens, H].
  moesaic::bf16* x() const { return x_.as<moesaic::bf16>(); }
  moesaic::bf16* y() const { return y_.as<moesaic::bf16>(); }
  moesaic::bf16* other_y() const { return other_y_.as<moesaic::bf16>(); }
  /// [x_tokens, K]
  std::int32_t* ids() const { return ids_.as<std::int32_t>(); }
  float* choice_weights() const { return choice_weights_.as<float>(); }
  /// Bytes to read that no kernel has in a cache.
  std::uint8_t const* codes() const { return codes_.as<std::uint8_t>(); }

  std::vector<double> host_router;  // as the card has it, rounded to bf16
  std::vector<float> host_bias;

 private:
  moesaic::weight_matrices<moesaic::weight_format::e4m3_128x128> experts(std::int64_t first, int count, std::int64_t n,
                                                                         std::int64_t k) const {
    constexpr std::int64_t blocks = matrix / (128 * 128);
    return {count, n, k, {codes_.as<std::uint8_t>(first * matrix), matrix}, {scales_.as<float>(first * blocks), blocks}};
  }
  static constexpr std::size_t bytes(std::int64_t count, std::size_t each) { return static_cast<std::size_t>(count) * each; }

  memory codes_{bytes(3 * (config.experts + 1) * matrix, 1)}, scales_{bytes(3 * (config.experts + 1) * matrix / (128 * 128), 4)};
  memory router_{bytes(std::int64_t{config.experts} * config.hidden, 2)}, bias_{bytes(config.experts, 4)};
  memory x_{bytes(x_tokens * config.hidden, 2)}, y_{bytes(y_tokens * config.hidden, 2)}, other_y_{bytes(y_tokens * config.hidden, 2)};
  memory ids_{bytes(x_tokens * config.top_k, 4)}, choice_weights_{bytes(x_tokens * config.top_k, 4)};
};

}  // namespace gpu
