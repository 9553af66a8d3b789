// The golden checkpoint tiny_b (deepseek_v3_write_checkpoint tiny_b DIR).
#pragma once

#include "../golden_models.hpp"

namespace deepseek_v3 {

struct model {
  static constexpr model_config config = golden::tiny_b;
};

}  // namespace deepseek_v3
