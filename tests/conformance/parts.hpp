// The parts of the suite, in two halves: a stamp is compiled once with each, so that two cores share the work.
#if CONFORMANCE_HALF == 1
#include "activation.hpp"
#include "map.hpp"
#include "permute.hpp"
#include "quantize.hpp"
#include "route.hpp"
#include "unpermute.hpp"
#elif CONFORMANCE_HALF == 2
#include "arguments.hpp"
#include "forward.hpp"
#include "gemm.hpp"
#include "layer_stages.hpp"
#else
#error "CONFORMANCE_HALF is 1 or 2: see CMakeLists.txt"
#endif
