// Dense products by cuBLASLt, the vendor's own: Y[M, N] = X[M, K] W[N, K]^T, row-major, accumulated in fp32, Y bf16. The library is opened
// at run time (torch brings one), so that nothing links it.
#pragma once

#include <cublasLt.h>
#include <dlfcn.h>

#include <string>

#include "device.hpp"

namespace gpu {

/// e4m3_tensor: one fp32 scale each for X and W. e4m3_block: X's scales [K/128][M], W's [N/128][K/128 rounded up to 4].
enum class dense { bf16, e4m3_tensor, e4m3_tensor_fast, e4m3_block };
constexpr char const* name(dense kind) {
  return kind == dense::bf16               ? "bf16"
         : kind == dense::e4m3_tensor      ? "e4m3_tensor"
         : kind == dense::e4m3_tensor_fast ? "e4m3_tensor_fast"
                                           : "e4m3_block";
}

struct dense_operands {
  void const* x;
  void const* w;
  float const* x_scales;
  float const* w_scales;
  void* y;
};

class cublaslt {
 public:
  explicit cublaslt(std::string const& path) {
    library_ = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library_ == nullptr) throw std::runtime_error(std::string("no cuBLASLt: ") + dlerror());
    find(create_, "cublasLtCreate");
    find(destroy_, "cublasLtDestroy");
    find(version_, "cublasLtGetVersion");
    find(desc_create_, "cublasLtMatmulDescCreate");
    find(desc_destroy_, "cublasLtMatmulDescDestroy");
    find(desc_set_, "cublasLtMatmulDescSetAttribute");
    find(layout_create_, "cublasLtMatrixLayoutCreate");
    find(layout_destroy_, "cublasLtMatrixLayoutDestroy");
    find(preference_create_, "cublasLtMatmulPreferenceCreate");
    find(preference_destroy_, "cublasLtMatmulPreferenceDestroy");
    find(preference_set_, "cublasLtMatmulPreferenceSetAttribute");
    find(heuristic_, "cublasLtMatmulAlgoGetHeuristic");
    find(matmul_, "cublasLtMatmul");
    ok(create_(&handle_), "cublasLtCreate");
  }
  cublaslt(cublaslt const&) = delete;
  ~cublaslt() {
    if (handle_ != nullptr) destroy_(handle_);
  }  // the library stays loaded: its kernels are

  std::size_t version() const { return version_(); }

 private:
  static void ok(cublasStatus_t s, char const* what) {
    if (s != CUBLAS_STATUS_SUCCESS) throw std::runtime_error(std::string(what) + ": cuBLAS status " + std::to_string(static_cast<int>(s)));
  }
  template <class F>
  void find(F& f, char const* name) {
    f = reinterpret_cast<F>(dlsym(library_, name));
    if (f == nullptr) throw std::runtime_error(std::string("cuBLASLt has no ") + name);
  }

  void* library_ = nullptr;
  cublasLtHandle_t handle_ = nullptr;
  memory workspace_{std::size_t{64} << 20};
  decltype(&cublasLtCreate) create_ = nullptr;
  decltype(&cublasLtDestroy) destroy_ = nullptr;
  decltype(&cublasLtGetVersion) version_ = nullptr;
  decltype(&cublasLtMatmulDescCreate) desc_create_ = nullptr;
  decltype(&cublasLtMatmulDescDestroy) desc_destroy_ = nullptr;
  decltype(&cublasLtMatmulDescSetAttribute) desc_set_ = nullptr;
  decltype(&cublasLtMatrixLayoutCreate) layout_create_ = nullptr;
  decltype(&cublasLtMatrixLayoutDestroy) layout_destroy_ = nullptr;
  decltype(&cublasLtMatmulPreferenceCreate) preference_create_ = nullptr;
  decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy_ = nullptr;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set_ = nullptr;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic_ = nullptr;
  decltype(&cublasLtMatmul) matmul_ = nullptr;

 public:
  /// One product of one shape: asks the heuristic once, runs any of its candidates on any operands.
  class plan {
   public:
    plan(cublaslt& lt, dense kind, std::int64_t m, std::int64_t n, std::int64_t k, dense_operands const& sample) : lt_(lt), kind_(kind) {
      // cuBLAS is column-major: row-major Y[M, N] is its D of N x M, W its transposed A, X its B.
      auto const e = kind == dense::bf16 ? CUDA_R_16BF : CUDA_R_8F_E4M3;
      auto const rows = static_cast<std::uint64_t>(m), columns = static_cast<std::uint64_t>(n), depth = static_cast<std::uint64_t>(k);
      ok(lt.desc_create_(&desc_, CUBLAS_COMPUTE_32F, CUDA_R_32F), "cublasLtMatmulDescCreate");
      ok(lt.layout_create_(&a_, e, depth, columns, k), "layout of W");
      ok(lt.layout_create_(&b_, e, depth, rows, k), "layout of X");
      ok(lt.layout_create_(&d_, CUDA_R_16BF, columns, rows, n), "layout of Y");
      set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T, "transa");
      set(CUBLASLT_MATMUL_DESC_TRANSB, CUBLAS_OP_N, "transb");
      if (kind != dense::bf16)
        set(CUBLASLT_MATMUL_DESC_FAST_ACCUM, static_cast<std::int8_t>(kind == dense::e4m3_tensor_fast), "fast accum");
      if (kind == dense::e4m3_block) {
        set(CUBLASLT_MATMUL_DESC_A_SCALE_MODE, std::int32_t{CUBLASLT_MATMUL_MATRIX_SCALE_BLK128x128_32F}, "scale mode of W");
        set(CUBLASLT_MATMUL_DESC_B_SCALE_MODE, std::int32_t{CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F}, "scale mode of X");
      }
      scales(sample);
      ok(lt.preference_create_(&preference_), "preference");
      std::size_t const bytes = lt.workspace_.bytes();
      ok(lt.preference_set_(preference_, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof bytes), "workspace size");
      ok(lt.heuristic_(lt.handle_, desc_, a_, b_, d_, d_, preference_, most, candidates_, &found_), "cublasLtMatmulAlgoGetHeuristic");
      if (found_ == 0) throw std::runtime_error("cuBLASLt has no algorithm for this product");
    }
    plan(plan const&) = delete;
    ~plan() {
      if (preference_ != nullptr) lt_.preference_destroy_(preference_);
      for (auto const layout : {a_, b_, d_})
        if (layout != nullptr) lt_.layout_destroy_(layout);
      if (desc_ != nullptr) lt_.desc_destroy_(desc_);
    }

    int candidates() const { return found_; }

    void run(dense_operands const& o, int candidate, cudaStream_t s) {
      float const one = 1.0F, zero = 0.0F;
      scales(o);
      ok(lt_.matmul_(lt_.handle_, desc_, &one, o.w, a_, o.x, b_, &zero, o.y, d_, o.y, d_, &candidates_[candidate].algo,
                     lt_.workspace_.as<std::byte>(), lt_.workspace_.bytes(), s),
         "cublasLtMatmul");
    }

   private:
    template <class T>
    void set(cublasLtMatmulDescAttributes_t which, T const& value, char const* what) {
      ok(lt_.desc_set_(desc_, which, &value, sizeof value), what);
    }
    void scales(dense_operands const& o) {
      if (kind_ == dense::bf16) return;
      set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, static_cast<void const*>(o.w_scales), "scales of W");
      set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, static_cast<void const*>(o.x_scales), "scales of X");
    }

    cublaslt& lt_;
    dense kind_;
    cublasLtMatmulDesc_t desc_ = nullptr;
    cublasLtMatrixLayout_t a_ = nullptr, b_ = nullptr, d_ = nullptr;
    cublasLtMatmulPreference_t preference_ = nullptr;
    static constexpr int most = 8;
    cublasLtMatmulHeuristicResult_t candidates_[most];  // no std::vector: nvcc 13.0 dies of the destructor of an unnamed struct
    int found_ = 0;
  };
};

}  // namespace gpu
