// The stand-in for the header of the same name: one thread runs at a time.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include <moesaic/core/macros.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda::ptx {

inline std::uint32_t arrive(std::uint32_t* count) { return (*count)++; }

}  // namespace moesaic::inline MOESAIC_ABI::cuda::ptx
