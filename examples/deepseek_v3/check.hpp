// A result held against a float64 oracle (tests/fixtures/golden_full.json and its like).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "forward.hpp"

namespace deepseek_v3 {

/// The oracle's own numbers for one case.
struct golden {
  std::vector<std::vector<double>> logits;             // [tokens][vocab_size]
  std::vector<std::vector<std::vector<int>>> experts;  // [moe_layers][tokens][top_k]
};

/// Case `name` of the JSON file at `path`: {name: {tokens, logits, routing: {experts_all}}}. Throws input_error, also if it is not about
/// `tokens`: before the run, not after it.
golden read_golden(std::string const& path, std::string const& name, std::vector<int> const& tokens);

struct agreement {
  double nmse;       // Σ (got − expected)² / Σ expected² over all logits
  double max_error;  // largest |got − expected|, relative to the largest |expected| of its token
  std::int64_t tokens, same_argmax;
  std::int64_t choices, same_experts;    // a choice is one token's experts in one layer; the same means in the same order
  std::vector<std::string> differences;  // the first that are too large, a line each

  /// The tight bound is one for fp32 against float64: other precisions belong into a comparison per layer.
  bool good() const { return nmse <= 1e-9 && same_argmax == tokens && same_experts == choices; }
};

/// Throws input_error unless both are of one shape.
agreement compare(golden const& expected, forward_result const& got);

}  // namespace deepseek_v3
