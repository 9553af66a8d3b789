// The arrays of the forward pass, in the memory of the device that runs it; moesaic sees them through its own views.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <moesaic/core/status.hpp>
#include <moesaic/core/views.hpp>
#include <moesaic/num/bf16.hpp>
#include <moesaic/pipeline/backend.hpp>
#include <stdexcept>
#include <utility>
#include <vector>

#include "checkpoint.hpp"

namespace deepseek_v3 {

/// Where the model runs: kokkos_device.hpp, cuda_device.hpp.
///  ctx                       moesaic's context: every kernel of the model is a functor that it launches, or one of its GEMMs
///  reads_host_memory         its memory is the host's: arrays and files are used where they are
///  allocate(n), release(p)   n bytes of its memory, 64-byte aligned; release waits for all that may still use them
///  upload, download          copy bytes (to, from, n) from and to the host; done when they return
///  wait()                    returns when all work is done, throws if some of it failed
///  for_each(n, f)            f(i) for each i in [0, n), in any order on the host's threads: f(i) alone writes what it writes, which is
///                            why thread counts change no bit
template <class D>
concept device = moesaic::backend<typename D::context> &&
    requires(D const& d, void* p, void const* from, std::size_t n, std::int64_t count, void (*f)(std::int64_t)) {
  { d.ctx } -> std::convertible_to<typename D::context const&>;
  { D::reads_host_memory } -> std::convertible_to<bool>;
  { d.allocate(n) } -> std::same_as<void*>;
  d.release(p);
  d.upload(p, from, n);
  d.download(p, from, n);
  d.wait();
  d.for_each(count, f);
};

/// `size` elements; every one is written before it is read, so none is cleared. The device must outlive it.
template <class D, class T>
class array {
 public:
  array() = default;
  array(D const& d, std::int64_t size)
      : d_(&d), data_(size > 0 ? static_cast<T*>(d.allocate(static_cast<std::size_t>(size) * sizeof(T))) : nullptr), size_(size) {}
  array(array&& other) noexcept { swap(other); }
  array& operator=(array&& other) noexcept {
    swap(other);
    return *this;
  }
  ~array() {
    if (data_ != nullptr) d_->release(data_);
  }

  T* data() const { return data_; }
  std::int64_t size() const { return size_; }

 private:
  void swap(array& other) noexcept {
    std::swap(d_, other.d_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
  }

  D const* d_ = nullptr;
  T* data_ = nullptr;
  std::int64_t size_ = 0;
};

template <class D>
using vector = array<D, float>;
template <class D>
using bytes = array<D, std::byte>;

template <class D>
bytes<D> make_bytes(D const& d, std::size_t count) {
  return {d, static_cast<std::int64_t>(count)};
}
template <class D>
moesaic::memory memory_of(bytes<D> const& b) {
  return {b.data(), static_cast<std::size_t>(b.size())};
}

/// Row-major, without gaps.
template <class D>
class matrix {
 public:
  matrix() = default;
  matrix(D const& d, std::int64_t rows, std::int64_t cols) : elements_(d, rows * cols), rows_(rows), cols_(cols) {}

  std::int64_t rows() const { return rows_; }
  moesaic::matrix_view<float> view() const { return {elements_.data(), rows_, cols_}; }

 private:
  array<D, float> elements_;
  std::int64_t rows_ = 0, cols_ = 0;
};

/// to[0 … size) = what f(T* from) writes on the host.
template <class D, class T, class F>
void fill(D const& d, T* to, std::int64_t size, F const& f) {
  if constexpr (D::reads_host_memory) {
    f(to);
  } else {
    std::vector<T> from(static_cast<std::size_t>(size));
    f(from.data());
    d.upload(to, from.data(), from.size() * sizeof(T));
  }
}

/// A vector of the host that the device writes; it holds what was written after fetch().
template <class D, class T>
class output {
 public:
  output(D const& d, std::vector<T>& to) : d_(d), to_(to) {
    if constexpr (!D::reads_host_memory) there_ = array<D, T>(d, static_cast<std::int64_t>(to.size()));
  }

  T* data() const {
    if constexpr (D::reads_host_memory)
      return to_.data();
    else
      return there_.data();
  }
  void fetch() const {
    if constexpr (!D::reads_host_memory) d_.download(to_.data(), there_.data(), to_.size() * sizeof(T));
  }

 private:
  D const& d_;
  std::vector<T>& to_;
  array<D, T> there_;
};

/// moesaic reports wrong arguments, which here can only come from a mistake in this program, and what a device refuses.
inline void must(moesaic::status const& s) {
  if (!s) throw std::logic_error(moesaic::describe(s).c_str());
}

/// f(group, i, scratch) for each i in [0, n).
template <class D, class F>
void launch(D const& d, std::int64_t n, F const& f) {
  must(d.ctx.launch(n, f));
}

/// Element i of a BF16 or F32 tensor, which may lie at any address.
inline float element(tensor const& t, std::size_t i) {
  if (t.type == dtype::f32) {
    float f;
    std::memcpy(&f, t.data + i * sizeof f, sizeof f);
    return f;
  }
  moesaic::bf16 h;
  std::memcpy(&h, t.data + i * sizeof h, sizeof h);
  return moesaic::to_float(h);
}

/// A whole tensor of one dimension, widened.
template <class D>
vector<D> make_vector(D const& d, tensor const& t) {
  vector<D> v(d, t.shape[0]);
  fill(d, v.data(), v.size(), [&](float* to) {
    for (std::size_t i = 0; i < static_cast<std::size_t>(t.shape[0]); ++i) to[i] = element(t, i);
  });
  return v;
}

}  // namespace deepseek_v3
