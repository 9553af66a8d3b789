// The Hopper kernels that the benchmark compares, by shape: tiles as types, and launches that need nothing more.
#pragma once

#include <array>
#include <functional>
#include <string>
#include <vector>

#include <moesaic/cuda/gemm/sm90/grouped_gemm.hpp>

#include "grouped_problem.hpp"

namespace gpu {

namespace sm90 = moesaic::cuda::sm90;
template <bool Fast>
using swiglu = sm90::activate_quantize<float, moesaic::activation_fn::swiglu, moesaic::no_terms, Fast>;
using plain_tile = sm90::narrow_prefill;

inline void ok(moesaic::status const& s, char const* what) {
  if (!s) throw std::runtime_error(std::string(what) + ": " + moesaic::describe(s).c_str());
}

/// gemm: bf16 results. up: gate and up through SwiGLU into E4M3. dense: a peer's product of the same M, N, K. read: the weights' bytes.
enum class work { gemm, up, dense, read };
constexpr char const* name(work w) { return w == work::gemm ? "gemm" : w == work::up ? "up" : w == work::dense ? "dense" : "read"; }

struct candidate {
  work what;
  char const* tile;
  char const* column;  // of the printed table
  double bytes;        // that must be read and written once
  std::function<void(cudaStream_t)> launch;
  bool exact = true;  // up: with the activation's promised bits
};

/// Hidden rows as the second GEMM reads them.
class quantized_memory {
 public:
  quantized_memory(std::int64_t rows, std::int64_t columns)
      : rows_(rows),
        columns_(columns),
        codes_(static_cast<std::size_t>(rows * columns)),
        scales_(static_cast<std::size_t>((rows + 4) * (columns / 128)) * 4) {}
  moesaic::quantized_rows<float> view() const { return {codes_.as<std::uint8_t>(), scales_.as<float>(), rows_, columns_}; }

 private:
  std::int64_t rows_, columns_;
  memory codes_, scales_;
};

template <class Tile>
inline constexpr bool multiplies_rows = requires {
  Tile::pieces;
};

template <class Tile, class Epilogue>
sm90::gemm_arguments<Epilogue> grouped_arguments(grouped_problem const& p,
                                                 std::array<grouped_problem::matrices, Epilogue::matrices> const& w,
                                                 Epilogue const& epilogue) {
  sm90::gemm_arguments<Epilogue> a{};
  ok(sm90::make_row_operand(p.x(), Tile::rows, Tile::scale_rows, a.x), "rows");
  for (std::size_t i = 0; i < w.size(); ++i) ok(sm90::make_weight_operand(w[i], nullptr, a.w[i]), "weights");
  int const columns = Epilogue::matrices == 2 ? 128 : Tile::columns;
  a.tiles = {p.offsets(), static_cast<std::int32_t>(p.rows()), 0, p.shape().experts, static_cast<int>(w[0].n / columns)};
  a.k_blocks = p.shape().k / 128;
  a.epilogue = epilogue;
  return a;
}

template <class Tile, class Epilogue>
void start_grouped(cudaStream_t s, sm90::gemm_arguments<Epilogue> const& a) {
  if constexpr (multiplies_rows<Tile>)
    ok(sm90::launch_row_gemm<Tile>(s, a), "launch_row_gemm");
  else
    ok(sm90::launch_weight_gemm<Tile>(s, a), "launch_weight_gemm");
}

/// The tiles that could be the best at a shape; a ragged shape gets all, to be checked.
class grouped_tiles {
 public:
  grouped_tiles(grouped_problem const& p, quantized_memory const* hidden, std::string const& only) : p_(p), hidden_(hidden), only_(only) {
    using namespace sm90;
    bool const ragged = p.shape().ragged, crossing = ragged || p.shape().rows_each >= 64, many = ragged || p.shape().rows_each >= 128;
    auto const few = [&](int tokens) { return ragged || (p.shape().rows_each < 4 * tokens && p.shape().rows_each <= 128); };
    gemm<plain_tile>(crossing, "128x128", "128x128");
    gemm<prefill>(crossing, "128x(2x128)", "2x128");
    gemm<decode<8, 1>>(few(8), "weights x8", "x8");
    gemm<decode<16, 1>>(few(16), "weights x16", "x16");
    gemm<decode<32, 1>>(few(32), "weights x32", "x32");
    gemm<decode<64, 1>>(few(64), "weights x64", "x64");
    gemm<short_decode<8, 1>>(few(8), "weights x8, 2 CTAs", "x8 2");
    gemm<short_decode<16, 1>>(few(16), "weights x16, 2 CTAs", "x16 2");
    gemm<short_decode<32, 1>>(few(32), "weights x32, 2 CTAs", "x32 2");
    if (hidden == nullptr) return;
    up<prefill>(crossing, "128x(128+128)", "up 2x128");
    up<prefill, false>(crossing, "128x(128+128), exact activation", "up exact");
    up<decode<32, 2>, false>(ragged, "weights x32, exact activation", "up x32e");
    up<decode<8, 2>>(few(8), "weights x8", "up x8");
    up<decode<16, 2>>(few(16), "weights x16", "up x16");
    up<decode<32, 2>>(few(32), "weights x32", "up x32");
    up<decode<64, 2>>(few(64), "weights x64", "up x64");
    up<short_decode<8, 2>>(few(8), "weights x8, 2 CTAs", "up x8 2");
    up<short_decode<16, 2>>(few(16), "weights x16, 2 CTAs", "up x16 2");
    up<short_decode<32, 2>>(few(32), "weights x32, 2 CTAs", "up x32 2");
  }

  std::vector<candidate> const& all() const { return all_; }

 private:
  bool wanted(bool useful, char const* column) const { return useful && (only_.empty() || only_ == column); }

  template <class Tile, class Epilogue>
  void add(work what, char const* tile, char const* column, double result_bytes, bool exact, sm90::gemm_arguments<Epilogue> const& a) {
    double const x_bytes = static_cast<double>(p_.rows()) * p_.shape().k * (1.0 + 4.0 / 128);
    double const bytes = static_cast<double>(p_.shape().weight_bytes()) + x_bytes + result_bytes;
    all_.push_back({what, tile, column, bytes, [a](cudaStream_t s) { start_grouped<Tile>(s, a); }, exact});
  }
  template <class Tile>
  void gemm(bool useful, char const* tile, char const* column) {
    if (!wanted(useful, column)) return;
    add<Tile>(work::gemm, tile, column, 2.0 * static_cast<double>(p_.rows()) * p_.shape().n, true,
              grouped_arguments<Tile, sm90::store_bf16>(p_, {p_.weights()}, {p_.out(), p_.shape().n}));
  }
  template <class Tile, bool Fast = true>
  void up(bool useful, char const* tile, char const* column) {
    if (!wanted(useful, column)) return;
    swiglu<Fast> epilogue{};
    epilogue.out = hidden_->view();
    add<Tile>(work::up, tile, column, static_cast<double>(p_.rows() * p_.inter()) * (1.0 + 4.0 / 128), !Fast,
              grouped_arguments<Tile, swiglu<Fast>>(p_, {p_.half(0), p_.half(1)}, epilogue));
  }

  grouped_problem const& p_;
  quantized_memory const* hidden_;
  std::string only_;
  std::vector<candidate> all_;
};

}  // namespace gpu
