// The portable kernels under conformance, on a simulated GPU: see gpu.hpp.
#include <moesaic/cuda/gemm/portable.hpp>
#include <moesaic/cuda/launch.hpp>
#include <moesaic/cuda/tables.hpp>
#include <string>

namespace stamp {
#if __CUDA_ARCH__ == 800
inline constexpr char const* name = "cuda portable, simulated as 8.0";
#else
inline constexpr char const* name = "cuda portable, simulated as 12.0";
#endif
// cuda::on<tune::sm80> but for the stages that have kernels of their own, which cuda_stages simulates.
struct context_type {
  template <moesaic::weight_format F>
  using prepared_matrices = moesaic::weight_matrices<F>;
  template <moesaic::weight_format F>
  std::size_t prepared_bytes(moesaic::weight_matrices<F> const& w) const {
    return moesaic::cuda::table_bytes(w);
  }
  template <moesaic::weight_format F>
  moesaic::status prepare(moesaic::weight_matrices<F> const& from, moesaic::memory to_memory, moesaic::weight_matrices<F>& to) const {
    to = from;
    return moesaic::cuda::copy_tables(nullptr, to, to_memory.data);
  }

  template <class X>
  static constexpr bool reads_rows_of = true;

  int multiprocessors;

  template <class F>
  moesaic::status launch(std::int64_t n, F const& f) const {
    return moesaic::cuda::start_any(nullptr, n, f);
  }
  template <class L>
  static constexpr bool fuses_up = moesaic::cuda::fuses_portable_up<L>;
  template <class L>
  static constexpr bool folds_shared = moesaic::cuda::folds_portable_shared<L>;

  template <class Rows, moesaic::weight_format F>
  moesaic::status grouped_gemm(moesaic::gemm_input<Rows> const& a, moesaic::weight_matrices<F> const& w, std::int32_t const* expert_offsets,
                               moesaic::matrix_view<float> out, moesaic::weight_matrices<F> const* shared = nullptr,
                               std::int64_t shared_rows = 0) const {
    using moesaic::cuda::given_or_none;
    return moesaic::cuda::launch_portable_gemm(
        nullptr, multiprocessors, moesaic::cuda::gemm_arguments<Rows, F>{a, w, expert_offsets, out, given_or_none(shared), shared_rows});
  }
  template <moesaic::activation_format Format, class Rows, moesaic::weight_format F, moesaic::activation_fn A, class Terms>
  moesaic::status up(moesaic::gemm_input<Rows> const& x, moesaic::weight_matrices<F> const& gate, moesaic::weight_matrices<F> const& up,
                     std::int32_t const* expert_offsets, moesaic::activation_rule<A, Terms> const& rule, moesaic::matrix_view<float> out,
                     moesaic::weight_matrices<F> const* shared_gate = nullptr, moesaic::weight_matrices<F> const* shared_up = nullptr,
                     std::int64_t shared_rows = 0) const {
    using moesaic::cuda::given_or_none;
    return moesaic::cuda::launch_portable_gemm(
        nullptr, multiprocessors,
        moesaic::cuda::up_arguments<Format, Rows, F, A, Terms>{x, gate, up, expert_offsets, out, rule, given_or_none(shared_gate),
                                                               given_or_none(shared_up), shared_rows});
  }
};
// Multiprocessors: each block walks many tiles, or one.
#if SIMULATED_PART == 1
inline constexpr int settings[] = {3, 1000};
#else
inline constexpr int settings[] = {3};
#endif
inline context_type context(int multiprocessors) { return {multiprocessors}; }
inline std::string describe(int multiprocessors) { return std::to_string(multiprocessors) + " multiprocessors"; }
inline void finish() { simulated::synchronize(); }
}  // namespace stamp

#if SIMULATED_PART == 1
#include <conformance/gemm.hpp>
#include <cuda/kernels_agree.hpp>
#include <cuda/simulated/e4m3_sums.hpp>
#include <cuda/simulated/overlap.hpp>
#include <cuda/up_agrees.hpp>
#elif SIMULATED_PART == 2
#include <conformance/forward.hpp>
#include <conformance/layer_stages.hpp>
#include <cuda/simulated/folded_shared.hpp>
#include <cuda/simulated/overlap_of_forward.hpp>
#elif SIMULATED_PART == 3
#include <conformance/activation.hpp>
#include <conformance/quantize.hpp>
#else
#error "SIMULATED_PART is 1 to 3: see CMakeLists.txt"
#endif
