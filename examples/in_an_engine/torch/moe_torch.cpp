// A MoE layer as an operator of PyTorch: weights are prepared once, the operator runs on PyTorch's own threads.
//   torch.ops.load_library("libmoe_torch.so"); layer = torch.classes.moesaic.Moe(router, gate, up, down); y = torch.ops.moesaic.moe(x,
//   layer)
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/custom_class.h>
#include <torch/library.h>

#include <moesaic/cpu.hpp>

namespace {

/// Qwen3-MoE's rules, small.
struct model {
  static constexpr moesaic::moe_config config{.hidden = 64, .inter = 32, .experts = 16, .top_k = 4, .norm = moesaic::norm_fn::sum};
};
using layer = moesaic::layer<model, moesaic::policies::f32_weights>;

/// The threads that at::set_num_threads counts.
struct at_pool {
  template <class F>
  void parallel_for(std::int64_t n, F const& f) const {
    at::parallel_for(0, n, 1, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) f(i);
    });
  }
};
using backend = moesaic::cpu::on<at_pool>;
backend const here{at_pool{}};

void check(moesaic::status const& s) { TORCH_CHECK(s, "moesaic: ", moesaic::describe(s).c_str()); }

/// PyTorch aligns its memory to 64 bytes, as moesaic asks for.
at::Tensor bytes(std::size_t n) { return at::empty({static_cast<std::int64_t>(n)}, at::kByte); }
moesaic::memory memory_of(at::Tensor const& t) { return {t.data_ptr(), static_cast<std::size_t>(t.numel())}; }

/// A layer's weights: router [E, H], gate and up [E, I, H], down [E, H, I], fp32. They are copied.
struct Moe : torch::CustomClassHolder {
  Moe(at::Tensor router, at::Tensor gate, at::Tensor up, at::Tensor down) : home(bytes(moesaic::prepared_bytes<layer>(here))) {
    moesaic::layer_weights<layer> stored;
    stored.router = matrices(router = router.unsqueeze(0).contiguous());
    stored.gate = matrices(gate = gate.contiguous());
    stored.up = matrices(up = up.contiguous());
    stored.down = matrices(down = down.contiguous());
    check(moesaic::prepare<layer>(here, stored, memory_of(home), weights));
  }

  static moesaic::weight_matrices<moesaic::weight_format::f32> matrices(at::Tensor const& t) {
    TORCH_CHECK(t.dim() == 3 && t.scalar_type() == at::kFloat && t.device().is_cpu(), "moesaic: weights are fp32 on the CPU");
    return {static_cast<int>(t.size(0)), t.size(1), t.size(2), {t.data_ptr<float>(), t.size(1) * t.size(2)}};
  }

  at::Tensor home;
  moesaic::prepared_weights<backend, layer> weights;
};

template <class T>
void forward(at::Tensor const& x, Moe const& moe, at::Tensor const& y) {
  auto const rows = [](auto* p, at::Tensor const& t) { return moesaic::matrix_view(p, t.size(0), t.size(1)); };
  at::Tensor const workspace = bytes(moesaic::workspace_bytes<layer>(here, x.size(0)));
  check(moesaic::forward<layer>(here, rows(static_cast<T const*>(x.data_ptr()), x), moe.weights, rows(static_cast<T*>(y.data_ptr()), y),
                                memory_of(workspace)));
}

/// x [T, H] of fp32 or bf16 → y, the same.
at::Tensor moe(at::Tensor const& x, c10::intrusive_ptr<Moe> const& l) {
  TORCH_CHECK(x.dim() == 2, "moesaic: x is a matrix");
  TORCH_CHECK(x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16, "moesaic: x is fp32 or bf16");
  at::Tensor const in = x.contiguous();
  at::Tensor y = at::empty_like(in);
  in.scalar_type() == at::kFloat ? forward<float>(in, *l, y) : forward<moesaic::bf16>(in, *l, y);
  return y;
}

}  // namespace

TORCH_LIBRARY(moesaic, m) {
  m.class_<Moe>("Moe").def(torch::init<at::Tensor, at::Tensor, at::Tensor, at::Tensor>());
  m.def("moe(Tensor x, __torch__.torch.classes.moesaic.Moe layer) -> Tensor");
}
TORCH_LIBRARY_IMPL(moesaic, CPU, m) { m.impl("moe", moe); }
