// Weight matrices from the checkpoint's tensors into moesaic's hands, and the linear layer made of one.
#pragma once

#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <vector>

#include "arrays.hpp"
#include "checkpoint.hpp"
#include "model_tensors.hpp"

namespace deepseek_v3 {

/// Tensors as arrays of T at T's alignment: straight from the mapped file where they lie well, else a copy that lives as long as this.
template <class T>
class aligned_arrays {
 public:
  T const* operator()(tensor const& t) {
    if (reinterpret_cast<std::uintptr_t>(t.data) % alignof(T) == 0) return reinterpret_cast<T const*>(t.data);
    copies_.push_back(std::make_unique_for_overwrite<T[]>(t.bytes / sizeof(T)));
    std::memcpy(copies_.back().get(), t.data, t.bytes);
    return copies_.back().get();
  }

 private:
  std::vector<std::unique_ptr<T[]>> copies_;
};

/// Equally shaped matrices, one an expert, as moesaic takes them. Needed until prepare() has packed them.
template <moesaic::weight_format F>
class source {
 public:
  source() = default;
  explicit source(std::vector<matrix_tensors> const& experts) {
    validate(experts);
    for (matrix_tensors const& m : experts) {
      codes_.push_back(aligned_codes_(*m.codes));
      if constexpr (F == moesaic::weight_format::e4m3_128x128) scales_.push_back(aligned_scales_(*m.scales));
    }
    if (!experts.empty()) n_ = experts[0].codes->shape[0], k_ = experts[0].codes->shape[1];
  }

  moesaic::weight_matrices<F> weights() const {
    if (codes_.empty()) return {};
    return {static_cast<int>(codes_.size()), n_, k_, {.table = codes_.data()}, {.table = scales_.empty() ? nullptr : scales_.data()}};
  }

 private:
  /// Here rather than when the tensors were found, so that a checkpoint larger than memory is read once; and in parallel, because these are
  /// its first reads from the disk. Complains about the first that is wrong.
  static void validate(std::vector<matrix_tensors> const& experts) {
    if constexpr (F == moesaic::weight_format::e4m3_128x128) {
      std::vector<std::exception_ptr> wrong(experts.size());
      for_each(static_cast<std::int64_t>(experts.size()), [&](std::int64_t i) {
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

  using code = moesaic::weight_code_t<F>;
  std::int64_t n_ = 0, k_ = 0;
  std::vector<code const*> codes_;
  std::vector<float const*> scales_;
  aligned_arrays<code> aligned_codes_;
  aligned_arrays<float> aligned_scales_;
};

/// y = x Wᵀ in fp32: a grouped GEMM of one group.
template <moesaic::weight_format F>
class linear {
 public:
  linear(context const& ctx, matrix_tensors const& tensors) {
    source<F> const from({tensors});
    packed_ = make_bytes(moesaic::prepared_bytes(ctx, from.weights()));
    must(moesaic::prepare(ctx, from.weights(), memory_of(packed_), prepared_));
  }

  void operator()(context const& ctx, moesaic::f32_rows x, moesaic::matrix_view<float> y) const {
    must(moesaic::grouped_gemm(ctx, moesaic::gemm_input{x}, prepared_, nullptr, y));
  }

  /// The same into a new matrix.
  matrix operator()(context const& ctx, matrix const& x) const {
    matrix y = make_matrix(rows_of(x), prepared_.n);
    (*this)(ctx, view_of(x), view_of(y));
    return y;
  }

 private:
  bytes packed_;
  typename context::template prepared_matrices<F> prepared_{};
};

}  // namespace deepseek_v3
