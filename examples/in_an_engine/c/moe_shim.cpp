// moe_shim.h in terms of moesaic: the only file that knows C++.
#include "moe_shim.h"

#include <moesaic/cpu.hpp>
#include <new>

namespace {

struct model {
  static constexpr moesaic::moe_config config{
      .hidden = MOE_HIDDEN, .inter = MOE_INTER, .experts = MOE_EXPERTS, .top_k = MOE_TOP_K, .norm = moesaic::norm_fn::sum};
};
using layer = moesaic::layer<model, moesaic::policies::f32_weights>;

// A C function as a pool.
struct c_pool {
  moe_threads const* threads;

  template <class F>
  void parallel_for(std::int64_t n, F const& f) const {
    if (threads == nullptr) return moesaic::cpu::serial_pool{}.parallel_for(n, f);
    threads->parallel_for(
        threads->pool, n, [](void const* work, std::int64_t i) { (*static_cast<F const*>(work))(i); }, &f);
  }
};
using backend = moesaic::cpu::on<c_pool>;

char const* text(moesaic::status const& s) {
  thread_local moesaic::status_text last;
  if (s) return nullptr;
  last = moesaic::describe(s);
  return last.c_str();
}

}  // namespace

struct alignas(64) moe_layer {
  moesaic::prepared_weights<backend, layer> weights;
};

std::size_t moe_layer_bytes() { return sizeof(moe_layer) + moesaic::prepared_bytes<layer>(backend{c_pool{}}); }

std::size_t moe_workspace_bytes(std::int64_t tokens) { return moesaic::workspace_bytes<layer>(backend{c_pool{}}, tokens); }

char const* moe_make(moe_weights const* from, void* memory, std::size_t bytes, moe_threads const* threads, moe_layer const** out) {
  using moesaic::check::not_null;
  if (auto const s = moesaic::check::first_error(not_null("weights", "", from == nullptr), not_null("layer", "", out == nullptr),
                                                 moesaic::check::caller_memory("memory", {memory, bytes}, moe_layer_bytes()));
      !s)
    return text(s);
  constexpr int H = MOE_HIDDEN, I = MOE_INTER, E = MOE_EXPERTS;
  moesaic::layer_weights<layer> stored;
  stored.router = {1, E, H, {from->router}};
  stored.gate = {E, I, H, {from->gate, I * H}};
  stored.up = {E, I, H, {from->up, I * H}};
  stored.down = {E, H, I, {from->down, H * I}};

  auto* const made = new (memory) moe_layer;  // placement: nothing is allocated
  moesaic::memory const rest{made + 1, bytes - sizeof(moe_layer)};
  moesaic::status const s = moesaic::prepare<layer>(backend{c_pool{threads}}, stored, rest, made->weights);
  if (s) *out = made;
  return text(s);
}

char const* moe_forward(moe_layer const* l, float const* x, float* y, std::int64_t tokens, void* workspace, std::size_t bytes,
                        moe_threads const* threads) {
  if (auto const s = moesaic::check::not_null("layer", "", l == nullptr); !s) return text(s);
  return text(moesaic::forward<layer>(backend{c_pool{threads}}, moesaic::matrix_view(x, tokens, MOE_HIDDEN), l->weights,
                                      moesaic::matrix_view(y, tokens, MOE_HIDDEN), {workspace, bytes}));
}
