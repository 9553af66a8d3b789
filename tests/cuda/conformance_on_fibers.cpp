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

// As conformance/cuda.cu has them, and what fibers alone can show.
#if CONFORMANCE_PART == 1
#include <conformance/map.hpp>
#include <conformance/permute.hpp>
#include <conformance/route.hpp>
#include <conformance/unpermute.hpp>
#elif CONFORMANCE_PART == 2
#include <conformance/activation.hpp>
#include <conformance/quantize.hpp>
#elif CONFORMANCE_PART == 3
#include <conformance/gemm.hpp>
#include <cuda/e4m3_sums.hpp>
#include <cuda/kernels_agree.hpp>
#include <cuda/launches_of_gemm.hpp>
#include <cuda/up_agrees.hpp>
#if CONFORMANCE_HOPPER
#include <cuda/hopper_tiles_agree.hpp>
#include <cuda/router_agrees.hpp>
#include <cuda/tensor_map_laws.hpp>
#endif
#elif CONFORMANCE_PART == 4
#include <conformance/arguments.hpp>
#include <conformance/forward.hpp>
#include <conformance/layer_stages.hpp>
#include <cuda/folded_shared.hpp>
#include <cuda/launches_of_forward.hpp>
#if CONFORMANCE_HOPPER
#include <cuda/gathering_agrees.hpp>
#endif
#else
#error "CONFORMANCE_PART is 1 to 4: see CMakeLists.txt"
#endif
