// Operands of a dense product on the card, several sets of them so that no run finds its inputs in a cache, and a spot check of a result
// against the sum in double on the host.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "dense_gemm.hpp"
#include "random_data.hpp"

namespace gpu {

struct product {
  std::int64_t m, n, k;
  double operations() const { return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k); }
};

class dense_sets {
 public:
  static constexpr int sets = 3;

  dense_sets(product p, bool fp8, cudaStream_t s)
      : p_(p),
        fp8_(fp8),
        x_(sets * element() * static_cast<std::size_t>(p.m * p.k)),
        w_(sets * element() * static_cast<std::size_t>(p.n * p.k)),
        y_(sets * sizeof(__nv_bfloat16) * static_cast<std::size_t>(p.m * p.n)),
        x_scales_(sets * sizeof(float) * static_cast<std::size_t>(x_scale_count())),
        w_scales_(sets * sizeof(float) * static_cast<std::size_t>(w_scale_count())) {
    ok(cudaMemsetAsync(w_scales_.as<float>(), 0, w_scales_.bytes(), s));  // the padding of K/128 to a multiple of 4
    ok(cudaMemsetAsync(y_.as<std::byte>(), 0xFF, y_.bytes(), s));         // NaN: what a product does not write shows
    for (int set = 0; set < sets; ++set) {
      auto const seed = static_cast<std::uint64_t>(2 * set + 1);
      dense_operands const o = at(set);
      if (fp8) {
        auto const blocks = static_cast<unsigned>(p.k / 128);
        fill_e4m3<1><<<dim3(blocks, static_cast<unsigned>(p.m)), 128, 0, s>>>(static_cast<std::uint8_t*>(const_cast<void*>(o.x)),
                                                                              const_cast<float*>(o.x_scales), p.k, p.m, 1, seed);
        ok(cudaGetLastError());
        fill_e4m3<128><<<dim3(blocks, static_cast<unsigned>(p.n / 128)), 128, 0, s>>>(
            static_cast<std::uint8_t*>(const_cast<void*>(o.w)), const_cast<float*>(o.w_scales), p.k, 1, padded_blocks(), seed + 1);
      } else {
        fill_normal<<<1024, 256, 0, s>>>(static_cast<__nv_bfloat16*>(const_cast<void*>(o.x)), p.m * p.k, seed);
        ok(cudaGetLastError());
        fill_normal<<<1024, 256, 0, s>>>(static_cast<__nv_bfloat16*>(const_cast<void*>(o.w)), p.n * p.k, seed + 1);
      }
      ok(cudaGetLastError());
    }
    ok(cudaStreamSynchronize(s));
  }

  product shape() const { return p_; }
  dense_operands at(int set) const {
    auto const e = static_cast<std::int64_t>(element());
    return {x_.as<std::byte>(set * p_.m * p_.k * e), w_.as<std::byte>(set * p_.n * p_.k * e), x_scales_.as<float>(set * x_scale_count()),
            w_scales_.as<float>(set * w_scale_count()), y_.as<__nv_bfloat16>(set * p_.m * p_.n)};
  }

  /// The largest |y - exact| over 64 places of one set, in units of the root of the sum of the squared products: about 0.01 where only
  /// roundings differ, about 1 where a wrong operand or scale is read, NaN where nothing was written.
  double worst_error(dense kind, int set) const {
    dense_operands const o = at(set);
    auto const xs = fetch(o.x_scales, fp8_ ? x_scale_count() : 0), ws = fetch(o.w_scales, fp8_ ? w_scale_count() : 0);
    double worst = 0.0;
    for (std::uint64_t place = 0; place < 64 && !std::isnan(worst); ++place) {
      auto const pick = [&](std::uint64_t salt, std::int64_t below) {
        return place == 0   ? 0
               : place == 1 ? below - 1
                            : static_cast<std::int64_t>(mix(2 * place + salt) % static_cast<std::uint64_t>(below));
      };
      std::int64_t const row = pick(0, p_.m), column = pick(1, p_.n);
      auto const x = values(o.x, row), w = values(o.w, column);
      double exact = 0.0, squares = 0.0;
      for (std::int64_t i = 0; i < p_.k; ++i) {
        double v = static_cast<double>(x[static_cast<std::size_t>(i)]) * static_cast<double>(w[static_cast<std::size_t>(i)]);
        if (kind == dense::e4m3_block)
          v *= static_cast<double>(xs[static_cast<std::size_t>(i / 128 * p_.m + row)]) *
               static_cast<double>(ws[static_cast<std::size_t>(column / 128 * padded_blocks() + i / 128)]);
        else if (fp8_)
          v *= static_cast<double>(xs[0]) * static_cast<double>(ws[0]);
        exact += v;
        squares += v * v;
      }
      auto const y = fetch(static_cast<__nv_bfloat16 const*>(o.y) + row * p_.n + column, 1);
      double const error = std::abs(static_cast<double>(__bfloat162float(y[0])) - exact) / std::sqrt(squares);
      if (!(error <= worst)) worst = error;
    }
    return worst;
  }

 private:
  std::size_t element() const { return fp8_ ? 1 : 2; }
  std::int64_t padded_blocks() const { return (p_.k / 128 + 3) / 4 * 4; }
  std::int64_t x_scale_count() const { return p_.k / 128 * p_.m; }
  std::int64_t w_scale_count() const { return p_.n / 128 * padded_blocks(); }

  template <class T>
  static std::vector<T> fetch(T const* from, std::int64_t count) {
    std::vector<T> v(static_cast<std::size_t>(count));
    if (count != 0) ok(cudaMemcpy(v.data(), from, v.size() * sizeof(T), cudaMemcpyDeviceToHost));
    return v;
  }
  std::vector<float> values(void const* matrix, std::int64_t row) const {
    std::vector<float> v;
    if (fp8_) {
      for (std::uint8_t const code : fetch(static_cast<std::uint8_t const*>(matrix) + row * p_.k, p_.k))
        v.push_back(__half2float(__half(__nv_cvt_fp8_to_halfraw(code, __NV_E4M3))));
    } else {
      for (__nv_bfloat16 const x : fetch(static_cast<__nv_bfloat16 const*>(matrix) + row * p_.k, p_.k)) v.push_back(__bfloat162float(x));
    }
    return v;
  }

  product p_;
  bool fp8_;
  memory x_, w_, y_, x_scales_, w_scales_;
};

}  // namespace gpu
