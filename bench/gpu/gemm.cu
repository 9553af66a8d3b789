// The Hopper grouped GEMMs by themselves: every tile against a float64 check and against the others' bits, then timed with cold L2 on
// random data. Usage: bench_gpu_gemm [--out FILE] [--quick] [--only NAME] [--shape EXPERTSxTOKENS]
#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include <moesaic/cuda/gemm/sm90/launch.hpp>

using namespace moesaic;
namespace sm90 = moesaic::cuda::sm90;

namespace {

void must(cudaError_t e, char const* what) {
  if (e == cudaSuccess) return;
  std::printf("FAILED %s: %s\n", what, cudaGetErrorString(e));
  std::fflush(stdout);
  std::exit(1);
}
bool must(status const& s, char const* what) {
  if (s) return true;
  std::printf("FAILED %s: %s\n", what, describe(s).c_str());
  return false;
}

template <class T>
struct device_array {
  T* p = nullptr;
  std::size_t n = 0;
  explicit device_array(std::size_t count) : n(count) { must(cudaMalloc(&p, std::max<std::size_t>(count, 1) * sizeof(T)), "cudaMalloc"); }
  device_array(device_array const&) = delete;
  device_array& operator=(device_array const&) = delete;
  ~device_array() { cudaFree(p); }
};

__device__ std::uint32_t mix(std::uint64_t v) {
  v ^= v >> 33;
  v *= 0xff51afd7ed558ccdULL;
  v ^= v >> 33;
  v *= 0xc4ceb9fe1a85ec53ULL;
  v ^= v >> 33;
  return static_cast<std::uint32_t>(v);
}

/// N(0, 1) times 448/4, as a block quantiser leaves it.
__global__ void fill_codes(std::uint8_t* to, std::size_t n, std::uint64_t seed) {
  for (std::size_t i = (blockIdx.x * std::size_t{blockDim.x} + threadIdx.x) * 2; i < n; i += std::size_t{gridDim.x} * blockDim.x * 2) {
    float const u = (static_cast<float>(mix(seed + i)) + 1.0F) * 0x1p-32F, v = static_cast<float>(mix(seed + i + 1)) * 0x1p-32F;
    float const r = sqrtf(-2.0F * logf(u)) * 112.0F;
    std::uint16_t const pair = cuda::ptx::e4m3_pair(r * cospif(2 * v), r * sinpif(2 * v));
    to[i] = static_cast<std::uint8_t>(pair & 0xff);
    if (i + 1 < n) to[i + 1] = static_cast<std::uint8_t>(pair >> 8);
  }
}
__global__ void fill_scales(float* to, std::size_t n, std::uint64_t seed, float size) {
  for (std::size_t i = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x; i < n; i += std::size_t{gridDim.x} * blockDim.x)
    to[i] = size * (0.5F + static_cast<float>(mix(seed + i)) * 0x1p-32F);
}
template <class T>
__global__ void fill(T* to, std::size_t n, T value) {
  for (std::size_t i = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x; i < n; i += std::size_t{gridDim.x} * blockDim.x) to[i] = value;
}
template <class T>
__global__ void count_different(T const* a, T const* b, std::size_t n, unsigned long long* out) {
  for (std::size_t i = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x; i < n; i += std::size_t{gridDim.x} * blockDim.x)
    if (a[i] != b[i]) {
      atomicAdd(out, 1ULL);
      atomicMin(out + 1, static_cast<unsigned long long>(i));
    }
}

struct problem {
  std::uint8_t const* x;
  float const* x_scales;
  std::int64_t rows, scale_stride;
  std::uint8_t const* w;
  float const* w_scales;
  std::int32_t const* offsets;
  int experts, n, k;
};

/// Squared error and squared size over sampled elements, in float64.
__global__ void check_samples(problem p, bf16 const* out, int samples, double* sums) {
  for (int s = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); s < samples; s += static_cast<int>(gridDim.x * blockDim.x)) {
    std::int64_t row = mix(77 + s * 2ULL) % static_cast<std::uint64_t>(p.rows);
    int col = static_cast<int>(mix(78 + s * 2ULL) % static_cast<unsigned>(p.n));
    if (s < 64) row = p.rows - 1 - s % p.rows;  // the last rows always
    int e = 0;
    while (p.offsets[e + 1] <= row) ++e;
    double total = 0;
    for (int b = 0; b < p.k / 128; ++b) {
      double block = 0;
      for (int i = 0; i < 128; ++i)
        block += double{e4m3_to_float(p.x[row * p.k + b * 128 + i])} *
                 e4m3_to_float(p.w[(std::int64_t{e} * p.n + col) * p.k + b * 128 + i]);
      total += block * p.x_scales[b * p.scale_stride + row] * p.w_scales[(std::int64_t{e} * (p.n / 128) + col / 128) * (p.k / 128) + b];
    }
    double const d = to_float(out[row * p.n + col]) - total;
    atomicAdd(sums, d * d);
    atomicAdd(sums + 1, total * total);
  }
}

__global__ void reference_activation(activate_quantize_rows<float, activation_fn::swiglu, no_terms> f, std::int64_t n) {
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < n; i += std::int64_t{gridDim.x} * blockDim.x) {
    quantize_scratch s;
    f(serial_group{}, i, s);
  }
}

using swiglu = sm90::activate_quantize<float, activation_fn::swiglu, no_terms>;

struct timing {
  double median_us, min_us, max_us;
};

struct bench {
  cudaStream_t stream = nullptr;
  cudaEvent_t begin, end;
  device_array<char> flush{std::size_t{192} << 20};
  std::FILE* out = nullptr;
  int repetitions = 11;

  bench() {
    must(cudaStreamCreate(&stream), "stream");
    must(cudaEventCreate(&begin), "event");
    must(cudaEventCreate(&end), "event");
  }

  timing time(std::function<void()> const& f) {
    f();
    std::vector<double> us;
    for (int i = 0; i < repetitions; ++i) {
      must(cudaMemsetAsync(flush.p, i, flush.n, stream), "flush");
      must(cudaEventRecord(begin, stream), "record");
      f();
      must(cudaEventRecord(end, stream), "record");
      must(cudaEventSynchronize(end), "timed kernel");
      float ms = 0;
      must(cudaEventElapsedTime(&ms, begin, end), "elapsed");
      us.push_back(ms * 1e3);
    }
    std::sort(us.begin(), us.end());
    return {us[us.size() / 2], us.front(), us.back()};
  }
};

struct variant {
  char const* name;
  bool by_weights;  // made for few rows
  int x_rows, scale_rows, w_rows, columns;
  status (*run)(cudaStream_t, sm90::gemm_arguments<sm90::store_bf16> const&, bool);
};
template <class Tile>
constexpr variant row_variant(char const* name) {
  return {name, false, Tile::rows / Tile::cluster, Tile::scale_rows, Tile::width, Tile::columns, sm90::launch_row_gemm<Tile, sm90::store_bf16>};
}
template <class Tile>
constexpr variant weight_variant(char const* name) {
  return {name, true, Tile::rows, Tile::scale_rows, 128, Tile::columns, sm90::launch_weight_gemm<Tile, sm90::store_bf16>};
}

variant const variants[] = {
    row_variant<sm90::row_tile<128, 1, false, 6>>("128x128"),
    row_variant<sm90::row_tile<64, 2, true, 6>>("128x(2x64) rotates"),
    row_variant<sm90::row_tile<128, 2, false, 4>>("128x(2x128)"),
    row_variant<sm90::row_tile<64, 4, true, 4>>("128x(4x64) rotates"),
    row_variant<sm90::row_tile<96, 2, false, 5>>("128x(2x96)"),
    row_variant<sm90::row_tile<96, 2, true, 5>>("128x(2x96) rotates"),
    row_variant<sm90::row_tile<64, 3, true, 5>>("128x(3x64) rotates"),
    row_variant<sm90::row_tile<128, 1, false, 6, 2>>("128x128 cluster 2"),
    row_variant<sm90::row_tile<128, 2, false, 4, 2>>("128x(2x128) cluster 2"),
    row_variant<sm90::row_tile<64, 4, true, 4, 2>>("128x(4x64) rotates cluster 2"),
    weight_variant<sm90::weight_tile<8, 1, 11>>("weights x8"),
    weight_variant<sm90::weight_tile<16, 1, 11>>("weights x16"),
    weight_variant<sm90::weight_tile<32, 1, 10>>("weights x32"),
    weight_variant<sm90::weight_tile<64, 1, 8>>("weights x64"),
    weight_variant<sm90::weight_tile<128, 1, 5>>("weights x128"),
};

template <class Tile>
void fused(bench& b, char const* name, problem const& gate_up, std::int64_t inter, bool by_weights, quantized_rows<float> const& want,
           quantized_rows<float> const& have, unsigned long long* different) {
  sm90::gemm_arguments<swiglu> a{};
  quantized_rows<float> x{const_cast<std::uint8_t*>(gate_up.x), const_cast<float*>(gate_up.x_scales), gate_up.rows, gate_up.k};
  if (!must(sm90::make_row_operand(x, Tile::rows, Tile::scale_rows, a.x), "rows")) return;
  weight_matrices<weight_format::e4m3_128x128> w;
  w.experts = gate_up.experts;
  w.n = inter;
  w.k = gate_up.k;
  for (int i = 0; i < 2; ++i) {
    std::int64_t const all = std::int64_t{w.experts} * inter;
    w.codes = {gate_up.w + i * all * w.k, inter * w.k};
    w.scales = {gate_up.w_scales + i * all / 128 * (w.k / 128), inter / 128 * (w.k / 128)};
    if (!must(sm90::make_weight_operand(w, nullptr, a.w[i]), "weights")) return;
  }
  a.expert_offsets = gate_up.offsets;
  a.rows = gate_up.rows;
  a.experts = gate_up.experts;
  a.n_tiles = static_cast<int>(inter / 128);
  a.k_blocks = gate_up.k / 128;
  a.epilogue.out = have;
  auto run = [&] {
    if constexpr (requires { Tile::width; })
      must(sm90::launch_row_gemm<Tile>(b.stream, a), name);
    else
      must(sm90::launch_weight_gemm<Tile>(b.stream, a), name);
  };
  fill<<<1024, 256, 0, b.stream>>>(have.codes, static_cast<std::size_t>(have.rows * have.cols), std::uint8_t{0x7f});
  fill<<<256, 256, 0, b.stream>>>(have.scales, static_cast<std::size_t>(have.scale_stride * (have.cols / 128)), -1.0F);
  run();
  must(cudaStreamSynchronize(b.stream), name);
  unsigned long long h[2] = {0, ~0ULL};
  must(cudaMemcpy(different, h, sizeof h, cudaMemcpyHostToDevice), "copy");
  count_different<<<1024, 256>>>(want.codes, have.codes, static_cast<std::size_t>(have.rows * have.cols), different);
  unsigned long long codes[2], scales = 0;
  must(cudaMemcpy(codes, different, sizeof codes, cudaMemcpyDeviceToHost), "copy");
  for (std::int64_t blk = 0; blk < have.cols / 128; ++blk) {
    must(cudaMemcpy(different, h, sizeof h, cudaMemcpyHostToDevice), "copy");
    count_different<<<64, 256>>>(want.scales + blk * want.scale_stride, have.scales + blk * have.scale_stride,
                                 static_cast<std::size_t>(have.rows), different);
    unsigned long long d[2];
    must(cudaMemcpy(d, different, sizeof d, cudaMemcpyDeviceToHost), "copy");
    scales += d[0];
  }
  timing const t = b.time(run);
  double const flop = 2.0 * static_cast<double>(gate_up.rows) * 2.0 * static_cast<double>(inter) * gate_up.k;
  std::printf("  fused %-28s %10.1f us  %7.1f TFLOP/s  min %.1f max %.1f  different codes %llu (first %lld) scales %llu%s\n", name, t.median_us,
              flop / t.median_us * 1e-6, t.min_us, t.max_us, codes[0], static_cast<long long>(codes[1]), scales,
              codes[0] + scales == 0 ? "" : "  <<< WRONG");
  if (b.out)
    std::fprintf(b.out, "{\"bench\":\"fused_up\",\"tile\":\"%s\",\"experts\":%d,\"rows\":%lld,\"us\":%.2f,\"min\":%.2f,\"max\":%.2f,\"tflops\":%.1f,\"wrong\":%llu}\n",
                 name, gate_up.experts, static_cast<long long>(gate_up.rows), t.median_us, t.min_us, t.max_us, flop / t.median_us * 1e-6,
                 codes[0] + scales);
  static_cast<void>(by_weights);
}

}  // namespace

int main(int argc, char** argv) {
  bool quick = false;
  char const* only = nullptr;
  char const* file = nullptr;
  int only_experts = 0, only_tokens = 0;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--quick") == 0) quick = true;
    if (std::strcmp(argv[i], "--only") == 0 && i + 1 < argc) only = argv[++i];
    if (std::strcmp(argv[i], "--shape") == 0 && i + 1 < argc) std::sscanf(argv[++i], "%dx%d", &only_experts, &only_tokens);
    if (std::strcmp(argv[i], "--out") == 0 && i + 1 < argc) file = argv[++i];
  }
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::printf("no GPU\n");
    return 77;
  }
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  bench b;
  if (file) b.out = std::fopen(file, "w");
  if (quick) b.repetitions = 3;

  struct shape {
    int experts;
    int tokens;  // per expert on average
    bool ragged;
  };
  std::vector<shape> const shapes = {{8, 1000, true}, {32, 9, true},    {4, 8192, false}, {8, 4096, false}, {8, 1024, false}, {32, 1024, false},
                                     {8, 128, false}, {32, 64, false},  {32, 16, false},  {32, 4, false},   {32, 1, false},   {8, 16, false},
                                     {256, 4, false}, {256, 16, false}, {256, 64, false}, {256, 256, false}};
  int const most_experts = 256;
  std::int64_t const most_rows = 65536;
  std::size_t const w_bytes = std::size_t{most_experts} * 4096 * 7168;
  device_array<std::uint8_t> w(w_bytes), x(static_cast<std::size_t>(most_rows) * 7168);
  device_array<float> ws(w_bytes / 16384 + 64), xs(static_cast<std::size_t>(most_rows + 4) * 56);
  device_array<bf16> out(static_cast<std::size_t>(most_rows) * 7168), first_out(static_cast<std::size_t>(most_rows) * 7168);
  device_array<std::int32_t> offsets(most_experts + 1);
  device_array<double> sums(2);
  device_array<unsigned long long> different(2);
  fill_codes<<<4096, 256>>>(w.p, w.n, 1);
  fill_codes<<<4096, 256>>>(x.p, x.n, 0x100000000ULL * 8);
  fill_scales<<<256, 256>>>(ws.p, ws.n, 3, 1e-3F);
  fill_scales<<<256, 256>>>(xs.p, xs.n, 0x200000000ULL * 8, 1e-2F);
  must(cudaDeviceSynchronize(), "fill");
  std::mt19937 random(5);

  for (auto const& [n, k] : {std::pair{4096, 7168}, std::pair{7168, 2048}})
    for (shape const& s : shapes) {
      if (quick && !s.ragged && s.experts != 8) continue;
      if (only_experts != 0 && (s.experts != only_experts || s.tokens != only_tokens)) continue;
      std::vector<std::int32_t> o{0};
      for (int e = 0; e < s.experts; ++e) {
        int const count = !s.ragged ? s.tokens : e % 5 == 3 ? 0 : static_cast<int>(random() % static_cast<unsigned>(2 * s.tokens));
        o.push_back(o.back() + count);
      }
      std::int64_t const rows = o.back();
      must(cudaMemcpy(offsets.p, o.data(), o.size() * 4, cudaMemcpyHostToDevice), "offsets");
      problem const p{x.p, xs.p, rows, (rows + 3) / 4 * 4, w.p, ws.p, offsets.p, s.experts, n, k};
      double const flop = 2.0 * static_cast<double>(rows) * n * k;
      double const bytes = static_cast<double>(s.experts) * n * k + static_cast<double>(rows) * (k + 2.0 * n);
      std::printf("experts %d, %s%d rows each (%lld), N %d, K %d\n", s.experts, s.ragged ? "about " : "", s.tokens,
                  static_cast<long long>(rows), n, k);
      bool have_first = false;
      for (variant const& v : variants) {
        if (only && !std::strstr(v.name, only)) continue;
        if (!s.ragged && v.by_weights != (s.tokens <= 64) && !(v.by_weights && s.tokens <= 256) && !(s.tokens == 64)) continue;
        if (!s.ragged && v.by_weights && s.tokens >= 4 * v.x_rows) continue;
        sm90::gemm_arguments<sm90::store_bf16> a{};
        quantized_rows<float> const xr{x.p, xs.p, rows, k};
        weight_matrices<weight_format::e4m3_128x128> wm;
        wm.experts = s.experts;
        wm.n = n;
        wm.k = k;
        wm.codes = {w.p, std::int64_t{n} * k};
        wm.scales = {ws.p, std::int64_t{n / 128} * (k / 128)};
        if (!must(sm90::make_row_operand(xr, v.x_rows, v.scale_rows, a.x), v.name) || !must(sm90::make_weight_operand(wm, nullptr, a.w[0]), v.name))
          continue;
        a.expert_offsets = offsets.p;
        a.rows = rows;
        a.experts = s.experts;
        a.n_tiles = (n + v.columns - 1) / v.columns;
        a.k_blocks = k / 128;
        a.epilogue = {out.p, n};
        std::size_t const count = static_cast<std::size_t>(rows) * static_cast<std::size_t>(n);
        fill<<<1024, 256, 0, b.stream>>>(reinterpret_cast<std::uint16_t*>(out.p), count, std::uint16_t{0x7fc0});
        if (!must(v.run(b.stream, a, false), v.name)) continue;
        must(cudaStreamSynchronize(b.stream), v.name);
        must(cudaMemset(sums.p, 0, 16), "sums");
        check_samples<<<64, 128>>>(p, out.p, 8192, sums.p);
        double h[2];
        must(cudaMemcpy(h, sums.p, 16, cudaMemcpyDeviceToHost), "check");
        double const error = std::sqrt(h[0] / h[1]);
        unsigned long long d[2] = {0, ~0ULL};
        if (!have_first) {
          must(cudaMemcpy(first_out.p, out.p, count * 2, cudaMemcpyDeviceToDevice), "copy");
          have_first = true;
        } else {
          must(cudaMemcpy(different.p, d, sizeof d, cudaMemcpyHostToDevice), "copy");
          count_different<<<1024, 256>>>(reinterpret_cast<std::uint16_t*>(first_out.p), reinterpret_cast<std::uint16_t*>(out.p), count,
                                         different.p);
          must(cudaMemcpy(d, different.p, sizeof d, cudaMemcpyDeviceToHost), "compare");
        }
        timing const t = b.time([&] { must(v.run(b.stream, a, false), v.name); });
        std::printf("  %-28s %10.1f us  %7.1f TFLOP/s  %7.1f GB/s  min %.1f max %.1f  error %.2e  differs from the first in %llu (at %lld)%s\n",
                    v.name, t.median_us, flop / t.median_us * 1e-6, bytes / t.median_us * 1e-3, t.min_us, t.max_us, error, d[0],
                    static_cast<long long>(d[1]), error < 4e-3 ? "" : "  <<< WRONG");
        if (b.out)
          std::fprintf(b.out,
                       "{\"bench\":\"gemm\",\"tile\":\"%s\",\"experts\":%d,\"rows\":%lld,\"n\":%d,\"k\":%d,\"us\":%.2f,\"min\":%.2f,\"max\":%.2f,"
                       "\"tflops\":%.1f,\"gbs\":%.1f,\"error\":%.3e,\"different\":%llu}\n",
                       v.name, s.experts, static_cast<long long>(rows), n, k, t.median_us, t.min_us, t.max_us, flop / t.median_us * 1e-6,
                       bytes / t.median_us * 1e-3, error, d[0]);
      }
      if (n == 4096 && !only) {  // gate and up of 2048 columns each, through the activation
        std::int64_t const inter = n / 2;
        std::size_t const count = static_cast<std::size_t>(rows * inter);
        device_array<float> gate(count), up(count);
        device_array<std::uint8_t> want_codes(count), have_codes(count);
        device_array<float> want_scales(static_cast<std::size_t>((rows + 4) * inter / 128)), have_scales(want_scales.n);
        quantized_rows<float> const want{want_codes.p, want_scales.p, rows, inter}, have{have_codes.p, have_scales.p, rows, inter};
        using tile = sm90::row_tile<128, 1, false, 6>;
        for (int i = 0; i < 2; ++i) {
          sm90::gemm_arguments<sm90::store_f32> a{};
          quantized_rows<float> const xr{x.p, xs.p, rows, k};
          weight_matrices<weight_format::e4m3_128x128> wm;
          wm.experts = s.experts;
          wm.n = inter;
          wm.k = k;
          std::int64_t const all = std::int64_t{s.experts} * inter;
          wm.codes = {w.p + i * all * k, inter * k};
          wm.scales = {ws.p + i * all / 128 * (k / 128), inter / 128 * (k / 128)};
          must(sm90::make_row_operand(xr, 128, tile::scale_rows, a.x), "rows");
          must(sm90::make_weight_operand(wm, nullptr, a.w[0]), "weights");
          a.expert_offsets = offsets.p;
          a.rows = rows;
          a.experts = s.experts;
          a.n_tiles = static_cast<int>(inter / 128);
          a.k_blocks = k / 128;
          a.epilogue = {i == 0 ? gate.p : up.p, inter};
          must(sm90::launch_row_gemm<tile>(b.stream, a), "gate, up");
        }
        must(cudaStreamSynchronize(b.stream), "gate, up");
        matrix_view<float const> const g{gate.p, rows, inter}, u{up.p, rows, inter};
        activate_quantize_rows<float, activation_fn::swiglu, no_terms> const f{g, u, nullptr, want, {}};
        reference_activation<<<2048, 128>>>(f, rows * inter / 128);
        must(cudaDeviceSynchronize(), "reference activation");
        if (s.ragged || s.tokens >= 128) {
          fused<sm90::row_tile<128, 2, false, 4>>(b, "128x(128+128)", p, inter, false, want, have, different.p);
        }
        if (s.ragged || s.tokens <= 8) fused<sm90::weight_tile<8, 2, 6>>(b, "weights x8", p, inter, true, want, have, different.p);
        if (s.ragged || s.tokens <= 16) fused<sm90::weight_tile<16, 2, 6>>(b, "weights x16", p, inter, true, want, have, different.p);
        if (s.ragged || (s.tokens > 8 && s.tokens <= 64)) fused<sm90::weight_tile<32, 2, 5>>(b, "weights x32", p, inter, true, want, have, different.p);
        if (s.ragged || (s.tokens > 16 && s.tokens <= 64)) fused<sm90::weight_tile<64, 2, 4>>(b, "weights x64", p, inter, true, want, have, different.p);
      }
    }
  if (b.out) std::fclose(b.out);
  std::printf("done\n");
  return 0;
}
