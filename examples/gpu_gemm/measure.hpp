// Random operands on the card, and whether a step's result is right and how long it takes.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <vector>

#include <moesaic/cuda/ptx/convert.hpp>
#include <moesaic/num/bf16.hpp>
#include <moesaic/num/e4m3.hpp>

#include "common.hpp"

namespace stairs {

/// Memory on the card until the program ends.
template <class T>
T* allocate(std::int64_t count) {
  void* data = nullptr;
  ok(cudaMalloc(&data, static_cast<std::size_t>(count) * sizeof(T)), "cudaMalloc");
  return static_cast<T*>(data);
}

__host__ __device__ constexpr std::uint64_t mix(std::uint64_t x) {  // splitmix64's finaliser
  x += 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}
__device__ float normal(std::uint64_t i, std::uint64_t seed) {  // Box and Muller
  std::uint64_t const bits = mix(i ^ mix(seed));
  float const u = (static_cast<float>(bits >> 40) + 1.0F) * 0x1p-24F, v = static_cast<float>(bits & 0xFFFFFF) * 0x1p-24F;
  return sqrtf(fmaxf(-2.0F * __logf(u), 0.0F)) * __cosf(6.2831853F * v);
}

/// Codes as a quantiser leaves them: normal numbers, the largest of 128 near 448. Never zeros: on those a card draws less power and runs
/// faster than on real numbers.
__global__ void fill_codes(std::uint16_t* pairs, std::int64_t count, std::uint64_t seed) {
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < count; i += std::int64_t{gridDim.x} * blockDim.x)
    pairs[i] = ptx::e4m3_pair(112.0F * normal(2 * static_cast<std::uint64_t>(i), seed),
                              112.0F * normal(2 * static_cast<std::uint64_t>(i) + 1, seed));
}
/// Scales that differ by up to 3: who takes a neighbour's is wrong by what the check sees.
__global__ void fill_scales(float* to, std::int64_t count, float size, std::uint64_t seed) {
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < count; i += std::int64_t{gridDim.x} * blockDim.x)
    to[i] = size * (0.5F + static_cast<float>(mix(static_cast<std::uint64_t>(i) ^ mix(seed)) >> 40) * 0x1p-24F);
}

/// Row `row` of x times row `w_row` of all experts' weights, in float64, by a warp.
__device__ double exact(problem const& p, std::int64_t row, std::int64_t w_row) {
  int const lane = static_cast<int>(threadIdx.x) % 32;
  double total = 0.0;
  for (int kb = 0; kb < k_blocks; ++kb) {
    double sum = 0.0;
    for (int i = kb * block + lane; i < (kb + 1) * block; i += 32)
      sum += static_cast<double>(moesaic::e4m3_to_float(p.x.codes[row * k + i])) *
             static_cast<double>(moesaic::e4m3_to_float(p.w[w_row * k + i]));
    total += sum * static_cast<double>(p.x.scale(kb, row)) * static_cast<double>(p.w_scales[w_row / block * k_blocks + kb]);
  }
  for (int lanes = 16; lanes > 0; lanes /= 2) total += __shfl_xor_sync(0xffffffffU, total, lanes);
  return total;
}

/// sums[0] += squared error, sums[1] += squared size of `samples` elements, a warp each; the last rows are among them.
__global__ void sample_errors(problem const p, bool fused, int samples, double* sums) {
  int const warps = static_cast<int>(gridDim.x * blockDim.x / 32);
  std::int64_t const rows_each = p.x.rows / experts, inter = n / 2;
  for (int s = static_cast<int>((blockIdx.x * blockDim.x + threadIdx.x) / 32); s < samples; s += warps) {
    auto const pick = static_cast<std::uint64_t>(s);
    std::int64_t const row = s < 64 ? p.x.rows - 1 - s : static_cast<std::int64_t>(mix(2 * pick) % static_cast<std::uint64_t>(p.x.rows));
    auto const column = static_cast<std::int64_t>(mix(2 * pick + 1) % static_cast<std::uint64_t>(fused ? inter : n));
    std::int64_t const e = row / rows_each;
    double want, have;
    if (fused) {
      double const gate = exact(p, row, e * inter + column), up = exact(p, row, (experts + e) * inter + column);
      want = gate / (1.0 + exp(-gate)) * up;
      have = static_cast<double>(moesaic::e4m3_to_float(p.hidden.codes[row * inter + column])) *
             static_cast<double>(p.hidden.scale(column / block, row));
    } else {
      want = exact(p, row, e * n + column);
      have = static_cast<double>(moesaic::to_float(p.out[row * n + column]));
    }
    if (threadIdx.x % 32 == 0) {
      atomicAdd(sums, (have - want) * (have - want));
      atomicAdd(sums + 1, want * want);
    }
  }
}

/// Places that are all ones, as a memset has left them and no result is: they are NaNs in every format.
template <class T>
__global__ void count_unwritten(T const* a, std::int64_t size, unsigned long long* count) {
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < size; i += std::int64_t{gridDim.x} * blockDim.x)
    if (a[i] == static_cast<T>(~T{0})) atomicAdd(count, 1ULL);
}
__global__ void count_different(std::uint16_t const* a, std::uint16_t const* b, std::int64_t size, unsigned long long* count) {
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < size; i += std::int64_t{gridDim.x} * blockDim.x)
    if (a[i] != b[i]) atomicAdd(count, 1ULL);
}

/// What the kernels above have found.
struct findings {
  double squares[2];  // of errors, of exact results
  unsigned long long unwritten, different;
};

/// Reads 256 MiB, which then are what the L2 cache holds. (What a memset leaves there is written back at the cost of who comes next.)
__global__ void read_all(uint4 const* data, std::int64_t count, unsigned long long* sum) {
  unsigned mine = 0;
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < count; i += std::int64_t{gridDim.x} * blockDim.x) {
    uint4 const v = data[i];
    mine ^= v.x ^ v.y ^ v.z ^ v.w;
  }
  if (mine == 0x12345678U) *sum = mine;  // never, as far as the compiler can know
}

class bench {
 public:
  explicit bench(int rows) {
    int device = 0;
    ok(cudaGetDevice(&device), "cudaGetDevice");
    ok(cudaDeviceGetAttribute(&p_.multiprocessors, cudaDevAttrMultiProcessorCount, device), "cudaDeviceGetAttribute");
    ok(cudaStreamCreateWithFlags(&s_, cudaStreamNonBlocking), "cudaStreamCreate");
    std::int64_t const w_count = std::int64_t{experts} * n * k, out_count = std::int64_t{rows} * n;
    p_.x = {allocate<std::uint8_t>(std::int64_t{rows} * k), allocate<float>(std::int64_t{rows} * k_blocks), rows, k};
    auto* const w = allocate<std::uint8_t>(w_count);
    auto* const w_scales = allocate<float>(w_count / block / block);
    auto* const offsets = allocate<std::int32_t>(experts + 1);
    p_.hidden = {allocate<std::uint8_t>(out_count / 2), allocate<float>(out_count / 2 / block), rows, n / 2};
    p_.out = allocate<moesaic::bf16>(out_count);
    fill_codes<<<2048, 256, 0, s_>>>(reinterpret_cast<std::uint16_t*>(p_.x.codes), std::int64_t{rows} * k / 2, 1);
    fill_codes<<<2048, 256, 0, s_>>>(reinterpret_cast<std::uint16_t*>(w), w_count / 2, 2);
    fill_scales<<<256, 256, 0, s_>>>(p_.x.scales, std::int64_t{rows} * k_blocks, 1e-2F, 3);
    fill_scales<<<256, 256, 0, s_>>>(w_scales, w_count / block / block, 1e-4F, 4);
    ok(cudaGetLastError(), "filling");
    std::int32_t starts[experts + 1];
    for (int e = 0; e <= experts; ++e) starts[e] = rows / experts * e;
    ok(cudaMemcpyAsync(offsets, starts, sizeof starts, cudaMemcpyHostToDevice, s_), "copying");
    p_.w = w;
    p_.w_scales = w_scales;
    p_.expert_offsets = offsets;
    first_ = allocate<std::uint16_t>(out_count);
    other_ = allocate<uint4>(other_bytes / 16);
    found_ = allocate<findings>(1);
    ok(cudaMemsetAsync(other_, 0x5A, other_bytes, s_), "cudaMemset");
    ok(cudaStreamSynchronize(s_), "making the problem");
  }

  problem const& operands() const { return p_; }

  bool step(char const* name, launch const& f, bool is_fused) {
    double error = 0.0;
    std::string const wrong = check(f, is_fused, error);
    double const us = time(f), operations = 2.0 * static_cast<double>(p_.x.rows) * n * k;
    std::printf("%-14s %8.1f us %7.1f TFLOP/s  error %.2e  %s\n", name, us, operations / us * 1e-6, error,
                wrong.empty() ? "OK" : wrong.c_str());
    std::fflush(stdout);
    return wrong.empty();
  }

 private:
  static constexpr std::size_t other_bytes = std::size_t{256} << 20;

  /// Samples against float64, no place left unwritten, and for all but the first, whose kernels add in the same order, the first's bits.
  std::string check(launch const& f, bool is_fused, double& error) {
    std::int64_t const out_count = p_.x.rows * n;
    ok(cudaMemsetAsync(p_.out, 0xFF, static_cast<std::size_t>(out_count) * 2, s_), "cudaMemset");
    ok(cudaMemsetAsync(p_.hidden.codes, 0xFF, static_cast<std::size_t>(out_count) / 2, s_), "cudaMemset");
    ok(cudaMemsetAsync(p_.hidden.scales, 0xFF, static_cast<std::size_t>(out_count) / 2 / block * 4, s_), "cudaMemset");
    ok(cudaMemsetAsync(found_, 0, sizeof(findings), s_), "cudaMemset");
    f(s_);
    ok(cudaStreamSynchronize(s_), "the step");
    sample_errors<<<256, 256, 0, s_>>>(p_, is_fused, 8192, found_->squares);
    auto const* const out = reinterpret_cast<std::uint16_t const*>(p_.out);
    if (is_fused) {
      count_unwritten<<<1024, 256, 0, s_>>>(p_.hidden.codes, out_count / 2, &found_->unwritten);
      count_unwritten<<<1024, 256, 0, s_>>>(reinterpret_cast<std::uint32_t const*>(p_.hidden.scales), out_count / 2 / block,
                                            &found_->unwritten);
    } else {
      count_unwritten<<<1024, 256, 0, s_>>>(out, out_count, &found_->unwritten);
      if (have_first_)
        count_different<<<1024, 256, 0, s_>>>(out, first_, out_count, &found_->different);
      else
        ok(cudaMemcpyAsync(first_, out, static_cast<std::size_t>(out_count) * 2, cudaMemcpyDeviceToDevice, s_), "copying");
      have_first_ = true;
    }
    ok(cudaGetLastError(), "checking");
    findings found{};
    ok(cudaMemcpyAsync(&found, found_, sizeof found, cudaMemcpyDeviceToHost, s_), "copying");
    ok(cudaStreamSynchronize(s_), "checking");
    error = std::sqrt(found.squares[0] / found.squares[1]);
    double const tolerance = is_fused ? 4e-2 : 4e-3;  // an E4M3 result has 4 bits, a bf16 one 8
    std::string wrong;
    auto const say = [&](char const* what, auto value) {
      wrong.append(wrong.empty() ? "WRONG: " : ", ").append(what).append(std::to_string(value));
    };
    if (!(error < tolerance)) say("error above ", tolerance);  // NaN is wrong too
    if (found.unwritten != 0) say("places not written: ", found.unwritten);
    if (found.different != 0) say("places that differ from the first step's: ", found.different);
    return wrong;
  }

  /// The median of 15 launches, after 0.3 s of them: a card at its power limit slows down within that time.
  double time(launch const& f) const {
    auto const start = std::chrono::steady_clock::now();
    do {
      for (int i = 0; i < 10; ++i) f(s_);
      ok(cudaStreamSynchronize(s_), "warming up");
    } while (std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() < 0.3);
    std::vector<float> all;
    cudaEvent_t begin, end;
    ok(cudaEventCreate(&begin), "cudaEventCreate");
    ok(cudaEventCreate(&end), "cudaEventCreate");
    for (int i = 0; i < 15; ++i) {
      read_all<<<static_cast<unsigned>(4 * p_.multiprocessors), 256, 0, s_>>>(other_, static_cast<std::int64_t>(other_bytes / 16),
                                                                              &found_->unwritten);
      ok(cudaEventRecord(begin, s_), "cudaEventRecord");
      f(s_);
      ok(cudaEventRecord(end, s_), "cudaEventRecord");
      ok(cudaEventSynchronize(end), "timing");
      float ms = 0.0F;
      ok(cudaEventElapsedTime(&ms, begin, end), "cudaEventElapsedTime");
      all.push_back(ms * 1e3F);
    }
    ok(cudaEventDestroy(begin), "cudaEventDestroy");
    ok(cudaEventDestroy(end), "cudaEventDestroy");
    std::sort(all.begin(), all.end());
    return static_cast<double>(all[all.size() / 2]);
  }

  problem p_{};
  cudaStream_t s_ = nullptr;
  std::uint16_t* first_ = nullptr;
  bool have_first_ = false;
  uint4* other_ = nullptr;
  findings* found_ = nullptr;
};

}  // namespace stairs
