// Prepared weights for backends that read a checkpoint's own layout.
#pragma once

#include <cstddef>

#include <moesaic/config/weights.hpp>
#include <moesaic/core/status.hpp>
#include <moesaic/core/views.hpp>

namespace moesaic::inline MOESAIC_ABI {

/// The weight part of a backend (pipeline/backend.hpp) that packs nothing: prepared weights are the caller's views and take no memory, and
/// what they view must stay alive.
struct unpacked_weights {
  template <weight_format F>
  using prepared_matrices = weight_matrices<F>;

  template <weight_format F>
  std::size_t prepared_bytes(weight_matrices<F> const&) const {
    return 0;
  }

  template <weight_format F>
  status prepare(weight_matrices<F> const& from, memory, weight_matrices<F>& to) const {
    to = from;
    return {};
  }
};

}  // namespace moesaic::inline MOESAIC_ABI
