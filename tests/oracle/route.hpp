// One token's routing, judged in float64.
#pragma once

#include <cstdint>
#include <moesaic/config/moe_config.hpp>
#include <string>

namespace oracle {

// Why ids[0 … K) and weights[0 … K) are not what the router `c` makes of `logits`; empty if they are. Ranks and kept groups may differ from
// float64's only where scores are as near as fp32 rounding, or two logits' errors of `logit_error`, can explain; logits and biases that are
// equal must be ranked by index. Weights are held to a relative 1e-6, or to what rounding does to them where that is more (denormals).
std::string fault_of_route(moesaic::moe_config const& c, float const* logits, float const* bias, std::int32_t const* ids,
                           float const* weights, double logit_error = 0.0);

}  // namespace oracle
