// The stand-in for the header of the same name, which is TMA and wgmma: on.hpp wants it to name a template.
#pragma once

#include <moesaic/core/macros.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

template <class Arch>
struct hopper;

}  // namespace moesaic::inline MOESAIC_ABI::cuda
