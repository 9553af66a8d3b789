// std::same_as without <concepts>, which every file that includes the front door would have to read.
#pragma once

#include <type_traits>

#include <moesaic/core/macros.hpp>

namespace moesaic::inline MOESAIC_ABI::detail {

template <class A, class B>
concept same_as = std::is_same_v<A, B>;

}  // namespace moesaic::inline MOESAIC_ABI::detail
