// Carves arrays out of caller-owned memory. The same walk without memory gives the number of bytes.
#pragma once

#include <cstddef>
#include <cstdint>

#include <moesaic/core/views.hpp>

namespace moesaic::inline MOESAIC_ABI {

/// Every array starts at a multiple of 64 bytes.
class arena {
 public:
  arena() = default;
  explicit arena(memory m) : base_(static_cast<std::byte*>(m.data)) {}

  template <class T>
  T* take(std::int64_t count) {
    std::size_t const at = used_;
    used_ += static_cast<std::size_t>(align_up(count * static_cast<std::int64_t>(sizeof(T)), 64));
    return base_ != nullptr ? reinterpret_cast<T*>(base_ + at) : nullptr;
  }

  std::size_t used() const { return used_; }

 private:
  std::byte* base_ = nullptr;
  std::size_t used_ = 0;
};

}  // namespace moesaic::inline MOESAIC_ABI
