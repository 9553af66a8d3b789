// The CUDA backend under conformance, portable or with Hopper's kernels. Its arrays lie in pinned host memory that the device can reach
// (cuda/pinned_main.cu), so the suite needs no copies; every call is waited for, because the suite looks at results as soon as it may.
#include <cstdio>
#include <cstdlib>
#include <moesaic/cuda.hpp>
#include <string>

namespace stamp {
#if CONFORMANCE_HOPPER
using arch = moesaic::tune::sm90a;
inline constexpr char const* name = "cuda on Hopper";
#else
using arch = moesaic::tune::sm80;
inline constexpr char const* name = "cuda portable";
#endif

inline moesaic::status waited(moesaic::status s, char const* what) {
  cudaError_t const e = cudaDeviceSynchronize();
  if (e != cudaSuccess) {  // nothing that comes later on this device would work
    std::printf("[ device   ] %s: %s in %s\n", name, cudaGetErrorString(e), what);
    std::fflush(stdout);
    std::_Exit(3);
  }
  return s;
}

struct context_type : moesaic::cuda::on<arch> {
  using base = moesaic::cuda::on<arch>;
  bool waits = true;

  context_type() : base(nullptr) {}
  explicit context_type(cudaStream_t s) : base(s), waits(false) {}  // as an engine uses it

  moesaic::status after(moesaic::status const& s, char const* what) const { return waits ? waited(s, what) : s; }

  template <class F>
  moesaic::status launch(std::int64_t n, F const& f) const {
    return after(base::launch(n, f), __PRETTY_FUNCTION__);
  }
  template <class Rows, class Prepared, class Out, class... More>
  moesaic::status grouped_gemm(moesaic::gemm_input<Rows> const& a, Prepared const& w, std::int32_t const* expert_offsets,
                               moesaic::matrix_view<Out> out, More const&... more) const {
    return after(base::grouped_gemm(a, w, expert_offsets, out, more...), __PRETTY_FUNCTION__);
  }
  template <class... Arguments>
  moesaic::status front(Arguments const&... arguments) const {
    return after(base::front(arguments...), __PRETTY_FUNCTION__);
  }
#if CONFORMANCE_HOPPER
  static constexpr double e4m3_error = 4e-4;  // of wgmma's sums: 2.4e-4 on an H200

  template <moesaic::activation_format F, class... Arguments>
  moesaic::status gather(Arguments const&... arguments) const {
    return after(base::gather<F>(arguments...), __PRETTY_FUNCTION__);
  }
  template <moesaic::activation_format F, class... Arguments>
  moesaic::status up(Arguments const&... arguments) const {
    return after(base::up<F>(arguments...), __PRETTY_FUNCTION__);
  }
#else
  // Where mma.sync multiplies codes it keeps about as many bits as wgmma, and no more than 32 columns are added by it: not measured.
  static double e4m3_mma_error() {
    int device = 0, major = 0, minor = 0;
    static_cast<void>(cudaGetDevice(&device));
    static_cast<void>(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
    static_cast<void>(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device));
    return (major == 8 && minor == 9) || major >= 12 ? 4e-4 : 0.0;
  }
#endif
};
inline constexpr int settings[] = {1};  // a stream
inline context_type context(int) { return {}; }
inline std::string describe(int) { return "one stream"; }
inline void finish() { static_cast<void>(waited({}, "finish")); }
}  // namespace stamp

#include <cuda/conformance_parts.hpp>
