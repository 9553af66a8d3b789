// The golden checkpoint tiny_c (deepseek_v3_write_checkpoint tiny_c DIR).
#pragma once

#include "../golden_models.hpp"

namespace deepseek_v3 {

struct model {
  static constexpr model_config config = golden::tiny_c;
};

}  // namespace deepseek_v3
