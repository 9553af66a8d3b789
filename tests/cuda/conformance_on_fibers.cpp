// The CUDA backend under conformance without a GPU: its portable kernels on fibers (fibers/fibers.hpp).
#include <moesaic/cuda.hpp>
#include <string>

namespace stamp {
#if __CUDA_ARCH__ == 800
inline constexpr char const* name = "cuda portable, on fibers as 8.0";
#else
inline constexpr char const* name = "cuda portable, on fibers as 12.0";
#endif
using context_type = moesaic::cuda::on<moesaic::tune::sm80>;
// Multiprocessors: each block walks many tiles, or one.
#if CONFORMANCE_PART == 3
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
#elif CONFORMANCE_PART == 4
#include <conformance/arguments.hpp>
#include <conformance/forward.hpp>
#include <conformance/layer_stages.hpp>
#include <cuda/launches_of_forward.hpp>
#else
#error "CONFORMANCE_PART is 1 to 4: see CMakeLists.txt"
#endif
