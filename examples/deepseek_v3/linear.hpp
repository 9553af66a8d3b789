// Weight matrices from the checkpoint's tensors into moesaic's hands, and the linear layer made of one.
#pragma once

#include <concepts>
#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <moesaic/pipeline/stages.hpp>
#include <moesaic/semantics/unpacked_weights.hpp>
#include <type_traits>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "checkpoint.hpp"
#include "model_tensors.hpp"

namespace deepseek_v3 {

/// Tensors of one size, one an expert, as arrays of T where the device reads them: on the host straight from the mapped file where they lie
/// at T's alignment, else a copy; on any other device copies that follow each other.
template <class D, class T>
class expert_tensors {
 public:
  expert_tensors() = default;
  expert_tensors(D const& d, std::vector<tensor const*> const& experts) {
    if (experts.empty()) return;
    if constexpr (D::reads_host_memory) {
      for (tensor const* const t : experts) table_.push_back(aligned(*t));
    } else {
      stride_ = static_cast<std::int64_t>(experts[0]->bytes / sizeof(T));
      there_ = array<D, T>(d, static_cast<std::int64_t>(experts.size()) * stride_);
      T* to = there_.data();
      for (tensor const* const t : experts) d.upload(std::exchange(to, to + stride_), t->data, t->bytes);
    }
  }

  moesaic::expert_array<T> view() const {
    if constexpr (D::reads_host_memory)
      return {.table = table_.empty() ? nullptr : table_.data()};
    else
      return {.base = there_.data(), .stride = stride_};
  }

 private:
  T const* aligned(tensor const& t) {
    if (reinterpret_cast<std::uintptr_t>(t.data) % alignof(T) == 0) return reinterpret_cast<T const*>(t.data);
    copies_.push_back(std::make_unique_for_overwrite<T[]>(t.bytes / sizeof(T)));
    std::memcpy(copies_.back().get(), t.data, t.bytes);
    return copies_.back().get();
  }

  std::vector<T const*> table_;
  std::vector<std::unique_ptr<T[]>> copies_;
  array<D, T> there_;
  std::int64_t stride_ = 0;
};

/// Equally shaped matrices, one an expert, as moesaic takes them.
template <class D, moesaic::weight_format F>
class source {
 public:
  source() = default;
  source(D const& d, std::vector<matrix_tensors> const& experts) {
    if (experts.empty()) return;
    validate(d, experts);
    std::vector<tensor const*> codes, scales;
    for (matrix_tensors const& m : experts) {
      codes.push_back(m.codes);
      if constexpr (F == moesaic::weight_format::e4m3_128x128) scales.push_back(m.scales);
    }
    codes_ = {d, codes};
    scales_ = {d, scales};
    experts_ = static_cast<int>(experts.size()), n_ = codes[0]->shape[0], k_ = codes[0]->shape[1];
  }

  moesaic::weight_matrices<F> weights() const { return {experts_, n_, k_, codes_.view(), scales_.view()}; }

 private:
  /// Here rather than when the tensors were found, so that a checkpoint larger than memory is read once; and in parallel, because these are
  /// its first reads from the disk. Complains about the first that is wrong.
  static void validate(D const& d, std::vector<matrix_tensors> const& experts) {
    if constexpr (F == moesaic::weight_format::e4m3_128x128) {
      std::vector<std::exception_ptr> wrong(experts.size());
      d.for_each(static_cast<std::int64_t>(experts.size()), [&](std::int64_t i) {
        auto const e = static_cast<std::size_t>(i);
        try {
          validate_fp8(*experts[e].codes, *experts[e].scales);
        } catch (...) {
          wrong[e] = std::current_exception();  // which must not leave a parallel loop
        }
      });
      for (std::exception_ptr const& e : wrong)
        if (e) std::rethrow_exception(e);
    }
  }

  int experts_ = 0;
  std::int64_t n_ = 0, k_ = 0;
  expert_tensors<D, moesaic::weight_code_t<F>> codes_;
  expert_tensors<D, float> scales_;
};

/// Stands for sources once prepare() has copied what it needs.
struct dropped {
  dropped() = default;
  template <class Sources>
  explicit dropped(Sources&&) {}
};
/// Sources that must live as long as what prepare() has made of them: those of a context whose prepared weights are views of them.
template <class D, class Sources>
using kept = std::conditional_t<std::derived_from<typename D::context::template prepared_matrices<moesaic::weight_format::bf16>,
                                                  moesaic::weight_matrices<moesaic::weight_format::bf16>>,
                                Sources, dropped>;

/// y = x Wᵀ in fp32: a grouped GEMM of one group.
template <class D, moesaic::weight_format F>
class linear {
 public:
  linear(D const& d, matrix_tensors const& tensors) {
    source<D, F> from(d, {tensors});
    packed_ = make_bytes(d, moesaic::prepared_bytes(d.ctx, from.weights()));
    must(moesaic::prepare(d.ctx, from.weights(), memory_of(packed_), prepared_));
    from_ = kept<D, source<D, F>>(std::move(from));
  }

  void operator()(D const& d, moesaic::f32_rows x, moesaic::matrix_view<float> y) const {
    must(moesaic::grouped_gemm(d.ctx, moesaic::gemm_input{x}, prepared_, nullptr, y));
  }

  /// The same into a new matrix.
  matrix<D> operator()(D const& d, matrix<D> const& x) const {
    matrix<D> y(d, x.rows(), prepared_.n);
    (*this)(d, x.view(), y.view());
    return y;
  }

 private:
  kept<D, source<D, F>> from_;
  bytes<D> packed_;
  typename D::context::template prepared_matrices<F> prepared_{};
};

}  // namespace deepseek_v3
