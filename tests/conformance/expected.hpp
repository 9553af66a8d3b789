// What the reference backend answers, behind plain types: expected.cpp is compiled for the oldest processor of the family, without fma, so
// that every comparison with it is one between instruction sets too.
#pragma once

#include <cstdint>

namespace conformance::expected {

enum class element { f32, bf16, fp16 };

void route(int router, float const* logits, float const* bias, std::int64_t tokens, std::int32_t* ids, float* weights);
void dispatch_map(std::int32_t const* ids, std::int64_t tokens, int top_k, int experts, std::int32_t* expert_offsets,
                  std::int32_t* row_to_slot, std::int32_t* slot_to_row);

struct matrix {
  element type;
  void const* data;
  std::int64_t rows, cols, stride;
};
// `scales` are float, or u8 where `ue8m0`.
void quantize(matrix x, bool ue8m0, std::uint8_t* codes, void* scales);

// gate, up: f32 without gaps. Rounded to `format`, held as fp32.
void activation(element format, float const* gate, float const* up, std::int64_t rows, std::int64_t cols, float* out);
void activation_quantized(float const* gate, float const* up, std::int64_t rows, std::int64_t cols, bool ue8m0, std::uint8_t* codes,
                          void* scales);

}  // namespace conformance::expected
