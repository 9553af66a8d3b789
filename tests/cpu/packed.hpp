// Random E4M3 matrices as a checkpoint has them, and packed.
#pragma once

#include <cstdint>
#include <moesaic/cpu/pack.hpp>
#include <oracle/numbers.hpp>
#include <vector>

inline constexpr auto fp8 = moesaic::weight_format::e4m3_128x128;

struct packed {
  moesaic::weight_matrices<fp8> source;
  std::vector<std::uint8_t> codes;
  std::vector<float> scales;
  moesaic::cpu::packed_matrices<fp8> to;

  packed(int experts, std::int64_t n, std::int64_t k, std::uint64_t seed) {
    oracle::random random{seed};
    std::int64_t const grid = moesaic::ceil_div(n, 128) * moesaic::ceil_div(k, 128);
    codes.resize(static_cast<std::size_t>(experts * n * k));
    scales.resize(static_cast<std::size_t>(experts * grid));
    // Zeros and subnormal numbers are in nearly every group of an expert, or in few of one.
    for (std::size_t i = 0; i < codes.size(); ++i) {
      auto& c = codes[i] = static_cast<std::uint8_t>(random.below(0x7f) | random.below(2) * 128);
      if (static_cast<std::int64_t>(i) / (n * k) % 2 == 0 && (c & 0x78) == 0 && random.below(16) != 0)
        c = static_cast<std::uint8_t>(c | 0x38);
    }
    for (auto& s : scales) s = static_cast<float>(1 + random.below(100)) * 1e-3F;
    source = {experts, n, k, {codes.data(), n * k}, {scales.data(), grid}};
    to = {experts, n, k};
    home_.resize(to.code_bytes() + 64);
    packed_scales_.resize(to.scale_bytes() / sizeof(float));
    to.codes = home_.data() + (64 - reinterpret_cast<std::uintptr_t>(home_.data()) % 64) % 64;
    to.scales = packed_scales_.data();
    pack();
  }
  packed(packed const&) = delete;

  float& scale(std::size_t i) { return scales[i]; }

  // Once more, after codes or scales have changed.
  void pack() {
    moesaic::cpu::serial_pool threads;
    moesaic::cpu::pack(threads, source, to);
  }

 private:
  std::vector<std::uint8_t> home_;
  std::vector<float> packed_scales_;
};
