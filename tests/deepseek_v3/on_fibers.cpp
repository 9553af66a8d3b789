// The model as on a GPU, on this processor: its kernels run by the CUDA backend's launchers with fibers for threads
// (tests/cuda_stages/simt), its arrays in memory that the host must not touch. GEMMs are element by element. Stands in for on_cuda.cu, so
// that the program is the same.
#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <moesaic/cuda/activation.hpp>
#include <moesaic/cuda/combine.hpp>
#include <moesaic/cuda/front.hpp>
#include <moesaic/cuda/launch.hpp>
#include <moesaic/cuda/map.hpp>
#include <moesaic/cuda/permute.hpp>
#include <moesaic/cuda/quantize.hpp>
#include <moesaic/cuda/select.hpp>
#include <moesaic/semantics/unpacked_weights.hpp>
#include <new>

#include "arrays.hpp"
#include "forward.hpp"
#include "prefill.hpp"
#include MOESAIC_DEEPSEEK_MODEL_HEADER

namespace deepseek_v3 {
namespace {

/// All memory of the device. Whoever reads it at the wrong time ends with SIGSEGV.
class locked_memory {
 public:
  struct open {
    open() { protect(PROT_READ | PROT_WRITE); }
    open(open const&) = delete;
    open& operator=(open const&) = delete;
    ~open() { protect(PROT_NONE); }
  };

  static void* allocate(std::size_t n) {
    void* const p = ::mmap(nullptr, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) throw std::bad_alloc();
    std::memset(p, 0xFF, n);  // NaNs to whoever counts on zeros
    all[p] = n;
    static_cast<void>(open());
    return p;
  }
  static void release(void* p) { ::munmap(p, all.extract(p).mapped()); }

 private:
  static void protect(int how) {
    for (auto const& [p, n] : all) ::mprotect(p, n, how);
  }
  static inline std::map<void*, std::size_t> all;
};

struct fiber_context : moesaic::unpacked_weights {
  template <class F>
  moesaic::status launch(std::int64_t n, F const& f) const {
    locked_memory::open const now;
    return moesaic::cuda::launcher<F>::launch(nullptr, n, f);
  }

  template <class L>
  static constexpr bool fuses_front = moesaic::cuda::fuses_front<L>;
  template <class L>
  static constexpr std::size_t front_bytes(std::int64_t tokens) {
    return moesaic::cuda::front_scratch_bytes<L>(tokens);
  }
  template <class... Arguments>
  moesaic::status front(Arguments const&... arguments) const {
    locked_memory::open const now;
    return moesaic::cuda::launch_front(nullptr, 3, arguments...);
  }

  template <class Rows, moesaic::weight_format F>
  moesaic::status grouped_gemm(moesaic::gemm_input<Rows> const& a, moesaic::weight_matrices<F> const& w, std::int32_t const* expert_offsets,
                               moesaic::matrix_view<float> out) const {
    locked_memory::open const now;
    for (std::int64_t e = 0; e < w.experts; ++e)
      for (std::int64_t r = expert_offsets != nullptr ? expert_offsets[e] : 0;
           r < (expert_offsets != nullptr ? expert_offsets[e + 1] : out.rows); ++r)
        for (std::int64_t n = 0; n < w.n; ++n) out(r, n) = moesaic::gemm_element(a.rows, a.source(r), w, e, n);
    return {};
  }
};

struct fiber_device {
  using context = fiber_context;
  static constexpr bool reads_host_memory = false;

  context ctx{};

  void* allocate(std::size_t n) const { return locked_memory::allocate(n); }
  void release(void* p) const { locked_memory::release(p); }
  void upload(void* to, void const* from, std::size_t n) const { copy(to, from, n); }
  void download(void* to, void const* from, std::size_t n) const { copy(to, from, n); }
  void wait() const {}

  template <class F>
  void for_each(std::int64_t n, F const& f) const {
    for (std::int64_t i = 0; i < n; ++i) f(i);
  }

 private:
  static void copy(void* to, void const* from, std::size_t n) {
    locked_memory::open const now;
    std::memcpy(to, from, n);
  }
};
static_assert(device<fiber_device>);

forward_result run(model_tensors const& tensors, std::vector<int> const& tokens, int) {
  fiber_device const d;
  return prefill<fiber_device, model>(d, tensors, tokens).run();
}

}  // namespace

backend const on_cuda{true, [] { return std::string(); }, run};

}  // namespace deepseek_v3
