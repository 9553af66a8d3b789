// What the program around the model knows of it.
#include "forward.hpp"
#include MOESAIC_DEEPSEEK_MODEL_HEADER

namespace deepseek_v3 {

model_config const& compiled_model() {
  static constexpr model_config config = model::config;
  return config;
}

}  // namespace deepseek_v3
