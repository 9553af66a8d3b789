// Weights as a pure function of the tensor's name, as tests/fixtures/golden.py makes them: nothing needs to be stored to have a model.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string_view>
#include <vector>

#include <moesaic/num/bf16.hpp>
#include <moesaic/num/e4m3.hpp>

namespace deepseek_v3 {

/// Element i of the tensor called `name`: in [−1, 1), 24 bits of the splitmix64 finaliser of FNV-1a-64(name) + (i + 1) · golden gamma.
class hash_values {
 public:
  explicit hash_values(std::string_view name) {
    for (char const c : name) hash_ = (hash_ ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  }
  double operator[](std::int64_t i) const {
    std::uint64_t z = hash_ + (static_cast<std::uint64_t>(i) + 1) * 0x9E3779B97F4A7C15U;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    z ^= z >> 31;
    return static_cast<double>(z >> 40) * 0x1p-23 - 1.0;
  }

 private:
  std::uint64_t hash_ = 0xCBF29CE484222325U;
};

/// A matrix [out, in] with variance gain² / in, in fp32.
inline std::vector<float> hash_matrix(std::string_view name, std::int64_t out, std::int64_t in, double gain) {
  hash_values const u(name);
  std::vector<float> w(static_cast<std::size_t>(out * in));
  double const width = std::sqrt(3.0 / static_cast<double>(in));
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = static_cast<float>(u[static_cast<std::int64_t>(i)] * width * gain);
  return w;
}

struct fp8_matrix {
  std::vector<std::uint8_t> codes;  // [out, in]
  std::vector<float> scales;        // [⌈out/128⌉, ⌈in/128⌉]
};

/// DeepSeek's weight quantiser: blocks of 128 × 128, cut at the edges; scale = max(amax, 1e-12) / 448, code = E4M3(w / scale).
inline fp8_matrix quantize_blocks(std::vector<float> const& w, std::int64_t out, std::int64_t in) {
  std::int64_t const grid_cols = (in + 127) / 128;
  fp8_matrix m{std::vector<std::uint8_t>(w.size()), std::vector<float>(static_cast<std::size_t>((out + 127) / 128 * grid_cols), 1e-12F)};
  auto block = [&](std::int64_t i) -> float& { return m.scales[static_cast<std::size_t>(i / in / 128 * grid_cols + i % in / 128)]; };
  for (std::int64_t i = 0; i < out * in; ++i) block(i) = std::max(block(i), std::fabs(w[static_cast<std::size_t>(i)]));
  for (float& s : m.scales) s /= 448.0F;
  for (std::int64_t i = 0; i < out * in; ++i)
    m.codes[static_cast<std::size_t>(i)] = moesaic::to_e4m3(w[static_cast<std::size_t>(i)] / block(i));
  return m;
}

}  // namespace deepseek_v3
