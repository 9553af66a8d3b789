// Found before CUDA's own: gpu.hpp, which is force-included, has what is needed of it.
#pragma once
