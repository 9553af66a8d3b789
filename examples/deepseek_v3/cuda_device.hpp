// A GPU, through CUDA: moesaic's kernels for every one from compute capability 8.0 on.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <moesaic/cpu/thread_pool.hpp>
#include <moesaic/cuda.hpp>
#include <stdexcept>
#include <string>
#include <thread>

#include "arrays.hpp"

namespace deepseek_v3 {

/// The current device and a stream of its own.
class cuda_device {
 public:
  using context = moesaic::cuda::on<moesaic::tune::sm80>;
  static constexpr bool reads_host_memory = false;

  /// `threads` of the host, 0 for all.
  explicit cuda_device(int threads) : pool_(threads > 0 ? threads : static_cast<int>(std::thread::hardware_concurrency())) {}

 private:
  struct stream {
    cudaStream_t s = nullptr;
    stream() { check(::cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking), "a stream"); }
    stream(stream const&) = delete;
    stream& operator=(stream const&) = delete;
    ~stream() { static_cast<void>(::cudaStreamDestroy(s)); }
  };
  stream stream_;

 public:
  context ctx{stream_.s};

  void* allocate(std::size_t n) const {
    void* p = nullptr;
    check(::cudaMalloc(&p, n), std::to_string(n) + " bytes of memory");
    return p;
  }
  void release(void* p) const {  // an error that is found here is found by the next wait() too
    static_cast<void>(::cudaStreamSynchronize(stream_.s));
    static_cast<void>(::cudaFree(p));
  }
  void upload(void* to, void const* from, std::size_t n) const {
    check(::cudaMemcpyAsync(to, from, n, cudaMemcpyHostToDevice, stream_.s), "a copy to the device");
    wait();
  }
  void download(void* to, void const* from, std::size_t n) const {
    check(::cudaMemcpyAsync(to, from, n, cudaMemcpyDeviceToHost, stream_.s), "a copy from the device");
    wait();
  }
  void wait() const { check(::cudaStreamSynchronize(stream_.s), "the work on the device"); }

  template <class F>
  void for_each(std::int64_t n, F const& f) const {
    pool_.parallel_for(n, f);
  }

 private:
  static void check(cudaError_t e, std::string const& what) {
    if (e != cudaSuccess) throw std::runtime_error("CUDA: " + what + ": " + ::cudaGetErrorString(e));
  }

  mutable moesaic::cpu::thread_pool pool_;
};
static_assert(device<cuda_device>);

}  // namespace deepseek_v3
