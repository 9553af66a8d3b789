// The parts of the suite for CUDA, in four quarters that are compiled apart, with what CUDA's kernels have to show beside it: on a GPU that
// runs and replays give the same bits, on fibers what was launched, how early it began, and how exact sums of codes are.
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
#include <cuda/kernels_agree.hpp>
#include <cuda/up_agrees.hpp>
#if CONFORMANCE_HOPPER
#include <cuda/hopper_tiles_agree.hpp>
#include <cuda/router_agrees.hpp>
#include <cuda/tensor_map_laws.hpp>
#endif
#ifdef MOESAIC_ON_FIBERS
#include <cuda/e4m3_sums.hpp>
#include <cuda/launches_of_gemm.hpp>
#endif
#elif CONFORMANCE_PART == 4
#include <conformance/arguments.hpp>
#include <conformance/forward.hpp>
#include <conformance/layer_stages.hpp>
#include <cuda/folded_shared.hpp>
#if CONFORMANCE_HOPPER
#include <cuda/gathering_agrees.hpp>
#endif
#ifdef MOESAIC_ON_FIBERS
#include <cuda/launches_of_forward.hpp>
#else
#include <cuda/determinism.hpp>
#endif
#else
#error "CONFORMANCE_PART is 1 to 4: see CMakeLists.txt"
#endif
