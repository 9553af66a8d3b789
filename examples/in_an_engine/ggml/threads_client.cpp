// The operator without ggml: threads call it as ggml's do, on a tensor with the members that it reads.
#include <cstdio>
#include <cstring>
#include <thread>

#include "layer_data.hpp"

struct tensor {
  std::int64_t ne[4];
  std::size_t nb[4];
  tensor* src[1];
  void* data;
};

int main() {
  constexpr int H = moe::layer_data::H, T = moe::layer_data::T;
  constexpr std::size_t row = H * sizeof(float), all = T * row;
  moe::layer_data d, same;

  // One call on one thread, for comparison.
  moesaic::cpu::on const here{moesaic::cpu::serial_pool{}};
  moesaic::prepared_weights<moesaic::cpu::on<moesaic::cpu::serial_pool>, moe::layer> weights;
  moesaic::memory scratch;
  moesaic::status s = same.load(here, weights, scratch);
  std::vector<float> once(T * H), y(T * H);
  if (s)
    s = moesaic::forward<moe::layer>(here, moesaic::matrix_view(d.x.data(), T, H), weights, moesaic::matrix_view(once.data(), T, H),
                                     scratch);

  moe::operator_data op;
  if (s) s = op.alone([&](auto const& ctx) { return d.load(ctx, op.weights, op.workspace); });
  if (!s) return std::puts(moesaic::describe(s).c_str()), 1;

  tensor x{{H, T, 1, 1}, {sizeof(float), row, all, all}, {}, d.x.data()};
  tensor dst{{H, T, 1, 1}, {sizeof(float), row, all, all}, {&x}, y.data()};
  bool right = true;
  auto const compute = [&](int nth) {
    std::vector<std::jthread> others;
    for (int ith = 1; ith < nth; ++ith) others.emplace_back(moe::operation<tensor>, &dst, ith, nth, &op);
    moe::operation(&dst, 0, nth, &op);
  };
  for (int const nth : {1, 2, 3, 5}) {
    std::fill(y.begin(), y.end(), 0.0F);
    compute(nth);
    bool const equal = op.said && std::memcmp(y.data(), once.data(), all) == 0;
    std::printf("threads %d: %s\n", nth, equal ? "the bits of one call on one thread" : "OTHER bits");
    right = right && equal;
  }
  dst.ne[1] = T - 1;  // a wrong argument is found before any thread waits
  compute(3);
  std::printf("a row too few: %s\n", moesaic::describe(op.said).c_str());
  return right && !op.said ? 0 : 1;
}
