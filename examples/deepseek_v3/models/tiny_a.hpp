// The golden checkpoint tiny_a (deepseek_v3_write_checkpoint tiny_a DIR).
#pragma once

#include "../golden_models.hpp"

namespace deepseek_v3 {

struct model {
  static constexpr model_config config = golden::tiny_a;
};

}  // namespace deepseek_v3
