// The host arrays of the forward pass: Kokkos views own them, moesaic sees them through its own.
#pragma once

#include <Kokkos_Core.hpp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <moesaic/kokkos.hpp>
#include <stdexcept>

#include "checkpoint.hpp"

namespace deepseek_v3 {

using exec = Kokkos::DefaultHostExecutionSpace;
using context = moesaic::kokkos::on<exec>;

using vector = Kokkos::View<float*, Kokkos::LayoutRight, Kokkos::HostSpace>;
using matrix = Kokkos::View<float**, Kokkos::LayoutRight, Kokkos::HostSpace>;
using bytes = Kokkos::View<std::byte*, Kokkos::LayoutRight, Kokkos::HostSpace>;

/// Every element of an array is written before it is read, so none is cleared.
inline matrix make_matrix(std::int64_t rows, std::int64_t cols) {
  return matrix(Kokkos::view_alloc(Kokkos::WithoutInitializing, "matrix"), static_cast<std::size_t>(rows), static_cast<std::size_t>(cols));
}
inline bytes make_bytes(std::size_t count) { return bytes(Kokkos::view_alloc(Kokkos::WithoutInitializing, "bytes"), count); }

inline std::int64_t rows_of(matrix const& m) { return static_cast<std::int64_t>(m.extent(0)); }
inline moesaic::matrix_view<float> view_of(matrix const& m) { return {m.data(), rows_of(m), static_cast<std::int64_t>(m.extent(1))}; }
inline moesaic::memory memory_of(bytes const& b) { return {b.data(), b.size()}; }

/// f(i) for each i in [0, n), in any order on any thread: f(i) alone writes what it writes, which is why thread counts change no bit.
template <class F>
void for_each(std::int64_t n, F const& f) {
  Kokkos::parallel_for(Kokkos::RangePolicy<exec, Kokkos::IndexType<std::int64_t>>(0, n), f);
}

/// moesaic reports wrong arguments; here they can only come from a mistake in this program.
inline void must(moesaic::status const& s) {
  if (!s) throw std::logic_error(moesaic::describe(s).c_str());
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
inline vector make_vector(tensor const& t) {
  vector v(Kokkos::view_alloc(Kokkos::WithoutInitializing, t.name), static_cast<std::size_t>(t.shape[0]));
  for (std::size_t i = 0; i < v.size(); ++i) v(i) = element(t, i);
  return v;
}

}  // namespace deepseek_v3
