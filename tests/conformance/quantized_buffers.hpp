// Quantised rows in memory of their own.
#pragma once

#include <moesaic/semantics/handoff.hpp>

#include "suite.hpp"

namespace conformance {

template <class Scale>
struct quantized_buffers {
  std::int64_t rows, cols;
  buffer<std::uint8_t> codes;
  buffer<Scale> scales;

  quantized_buffers(std::int64_t r, std::int64_t c)
      : rows(r), cols(c), codes(r * c), scales(moesaic::ceil_div(c, 128) * moesaic::align_up(r, 4)) {}
  moesaic::quantized_rows<Scale> view() const { return {codes.data(), scales.data(), rows, cols}; }
};

inline float scale_value(float s) { return s; }
inline float scale_value(std::uint8_t s) { return oracle::e8m0_value(s); }

}  // namespace conformance
