// The CUDA backend under conformance without a GPU: its portable kernels, or Hopper's, on fibers (fibers/fibers.hpp).
#include <moesaic/cuda.hpp>
#include <string>

namespace stamp {
#if CONFORMANCE_HOPPER
inline constexpr char const* name = "cuda on Hopper, on fibers";
struct context_type : moesaic::cuda::on<moesaic::tune::sm90a> {
  static constexpr double e4m3_error = 4e-4;  // as on a GPU; sums are exact here, but the fast activation is not
};
#else
#if __CUDA_ARCH__ == 800
inline constexpr char const* name = "cuda portable, on fibers as 8.0";
#else
inline constexpr char const* name = "cuda portable, on fibers as 12.0";
#endif
using context_type = moesaic::cuda::on<moesaic::tune::sm80>;
#endif
// Multiprocessors: each block walks many tiles, or one.
#if CONFORMANCE_PART == 3 && !CONFORMANCE_HOPPER
inline constexpr int settings[] = {3, 1000};
#else
inline constexpr int settings[] = {3};
#endif
inline context_type context(int multiprocessors) {
  context_type ctx;
  ctx.multiprocessors = multiprocessors;
  return ctx;
}
inline std::string describe(int multiprocessors) { return std::to_string(multiprocessors) + " multiprocessors"; }
inline void finish() { fibers::synchronize(); }
}  // namespace stamp

#include <cuda/conformance_parts.hpp>
