// The portable kernels under conformance, on a simulated GPU: see gpu.hpp.
#include <moesaic/cuda.hpp>
#include <string>

namespace stamp {
inline constexpr char const* name = "cuda portable, simulated";
struct context_type : moesaic::cuda::on<moesaic::tune::sm80> {
  explicit context_type(int sms) : moesaic::cuda::on<moesaic::tune::sm80>(nullptr) { multiprocessors = sms; }
};
inline constexpr int settings[] = {3, 1000};  // multiprocessors: each block walks many tiles, or one
inline context_type context(int multiprocessors) { return context_type(multiprocessors); }
inline std::string describe(int multiprocessors) { return std::to_string(multiprocessors) + " multiprocessors"; }
inline void finish() {}
}  // namespace stamp

#if SIMULATED_PART == 1
#include <conformance/gemm.hpp>
#include <cuda/kernels_agree.hpp>
#elif SIMULATED_PART == 2
#include <conformance/forward.hpp>
#include <conformance/layer_stages.hpp>
#elif SIMULATED_PART == 3
#include <conformance/activation.hpp>
#include <conformance/quantize.hpp>
#else
#error "SIMULATED_PART is 1 to 3: see CMakeLists.txt"
#endif
