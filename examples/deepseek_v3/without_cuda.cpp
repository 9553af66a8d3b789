// Stands in for on_cuda in a program that is built without that backend.
#include "forward.hpp"

namespace deepseek_v3 {

backend const on_cuda{false, [] { return std::string("this program was built without it (MOESAIC_CUDA=OFF or MOESAIC_GPU=OFF)"); }, nullptr};

}  // namespace deepseek_v3
