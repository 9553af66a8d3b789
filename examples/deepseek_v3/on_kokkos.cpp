// The model on the host's processors.
#include "forward.hpp"
#include "kokkos_device.hpp"
#include "prefill.hpp"
#include MOESAIC_DEEPSEEK_MODEL_HEADER

namespace deepseek_v3 {
namespace {

/// Starts and ends Kokkos, which a process can do only once.
forward_result run(model_tensors const& tensors, std::vector<int> const& tokens, int threads) {
  Kokkos::InitializationSettings settings;
  settings.set_disable_warnings(true);
  if (threads > 0) settings.set_num_threads(threads);
  Kokkos::ScopeGuard const kokkos(settings);
  kokkos_device const d;
  return prefill<kokkos_device, model>(d, tensors, tokens).run();
}

}  // namespace

backend const on_kokkos{true, [] { return std::string(); }, run};

}  // namespace deepseek_v3
