// Step 5, fused: a tile takes 128 columns of gate and the same 128 of up. They meet in a thread's registers, so that SwiGLU and the next
// GEMM's quantisation cost no trip to memory. The kernel is the library's, which is step 4 for experts with any number of rows; the
// epilogue is written out here.
#include <moesaic/cuda/gemm/sm90/grouped_gemm.hpp>
#include <moesaic/cuda/ptx/convert.hpp>
#include <moesaic/num/block_scale.hpp>

#include "common.hpp"

namespace stairs {

namespace {

struct swiglu_to_e4m3 {
  static constexpr int matrices = 2;
  moesaic::quantized_rows<float> out;

  /// A warp's 16 rows: sum[0] is gate, sum[1] up. Four lanes have a row's 128 columns between them.
  template <int Half>
  __device__ void rows(float const (&sum)[2][Half], char* staging, sm90::warp_place const& at) const {
    static_assert(Half == 64);
    constexpr int pitch = 144;  // 36 words: eight rows start in eight different groups of four banks
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      int const r = at.fragment_row() + 8 * half;
      float hidden[Half / 2], most = 0.0F;
#pragma unroll
      for (int i = 0; i < Half / 2; ++i) {
        int const from = i / 2 * 4 + 2 * half + i % 2;
        float const gate = sum[0][from], up = sum[1][from];
        hidden[i] = __fdividef(gate, 1.0F + __expf(-gate)) * up;
        most = fmaxf(most, fabsf(hidden[i]));
      }
      most = fmaxf(most, __shfl_xor_sync(0xffffffffU, most, 1));
      most = fmaxf(most, __shfl_xor_sync(0xffffffffU, most, 2));
      float const scale = moesaic::block_scale(most), inverse = 1.0F / scale;
#pragma unroll
      for (int i = 0; i < Half / 2; i += 2)
        *reinterpret_cast<std::uint16_t*>(staging + r * pitch + i * 4 + at.fragment_column()) =
            ptx::e4m3_pair(hidden[i] * inverse, hidden[i + 1] * inverse);
      if (r < at.rows_left && at.lane % 4 == 0) out.scale(at.column / block, at.row + r) = scale;
    }
    __syncwarp();
#pragma unroll
    for (int r = at.lane / 8; r < 16; r += 4)  // whole lines of 128 bytes go to memory
      if (r < at.rows_left)
        *reinterpret_cast<uint4*>(out.codes + (at.row + r) * out.cols + at.column + at.lane % 8 * 16) =
            *reinterpret_cast<uint4 const*>(staging + r * pitch + at.lane % 8 * 16);
    __syncwarp();  // the next tile comes the same way
  }
};

/// Gate (0) or up (1) of all experts; all gates lie before all ups.
sm90::weight_operand half_of(problem const& p, int which) {
  sm90::e4m3_matrices w;
  w.experts = experts;
  w.n = n / 2;
  w.k = k;
  w.codes = {p.w + std::int64_t{which} * experts * w.n * k, w.n * k};
  w.scales = {p.w_scales + std::int64_t{which} * experts * (w.n / block) * k_blocks, w.n / block * k_blocks};
  sm90::weight_operand out;
  ok(sm90::make_weight_operand(w, nullptr, out));
  return out;
}

}  // namespace

launch fused(problem const& p) {
  using shape = sm90::prefill;
  sm90::gemm_arguments<swiglu_to_e4m3> a{};
  ok(sm90::make_row_operand(p.x, shape::rows, shape::scale_rows, a.x));
  a.w[0] = half_of(p, 0);
  a.w[1] = half_of(p, 1);
  a.tiles = {p.expert_offsets, p.rows(), 0, experts, n / 2 / block};
  a.k_blocks = k_blocks;
  a.epilogue.out = p.hidden;
  return [a](cudaStream_t s) { ok(sm90::launch_row_gemm<shape>(s, a)); };
}

}  // namespace stairs
