// quantize_rows and the two permutes: widths that end in the middle of a scale block, gaps between rows, rows that start anywhere.
#include <moesaic/cuda/permute.hpp>
#include <moesaic/cuda/quantize.hpp>
#include <moesaic/semantics/adapt_deep_gemm.hpp>

#include "harness.hpp"

namespace stages {

using namespace moesaic;

namespace {

template <class T>
T value_of(random& r, bool hostile) {
  return from_float<T>(hostile ? r.hostile() : r.normal());
}
template <class T>
constexpr char const* type = sizeof(T) == 4            ? "f32"
                             : std::is_same_v<T, bf16> ? "bf16"
                                                       : "fp16";

/// `shift`: elements by which x starts off its alignment. All items but the last `left_out`; where some are, a number in memory leaves out
/// a row as well.
template <class T, class Scale>
void quantize(std::int64_t rows, std::int64_t cols, std::int64_t gap, int shift, bool hostile, std::int64_t left_out) {
  std::int64_t const stride = cols + gap, blocks = ceil_div(cols, scale_block);
  array<T> x(static_cast<std::size_t>(rows * stride + shift));
  array<std::uint8_t> codes(static_cast<std::size_t>(rows * cols));
  array<Scale> scales(static_cast<std::size_t>(blocks * align_up(rows, 4)));
  random r{static_cast<std::uint64_t>(rows * 7919 + cols)};
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = value_of<T>(r, hostile);
  if (hostile)  // blocks of one kind: all zeros, all tiny, near the floor of the scale, near the largest
    for (std::int64_t i = 0; i < rows * blocks; ++i) {
      int const kind = r.below(8);
      float const unit = kind == 0 ? 0.0F : kind == 1 ? 1e-30F : kind == 2 ? 1.01e-4F : kind == 3 ? 3e38F : kind == 4 ? 1e-40F : 1.0F;
      if (kind > 4) continue;
      for (std::int64_t c = i % blocks * scale_block; c < cols && c < (i % blocks + 1) * scale_block; ++c)
        x[static_cast<std::size_t>(shift + i / blocks * stride + c)] = from_float<T>(unit * (2.0F * r.uniform() - 1.0F));
    }
  x.upload();
  array<std::int32_t> row_count(1);
  row_count[0] = static_cast<std::int32_t>(rows - 1);
  row_count.upload();
  auto const make = [&](auto const& at) {
    return quantize_rows<T, Scale>{
        {at(x) + shift, rows, cols, stride}, {at(codes), at(scales), rows, cols}, left_out > 0 ? at(row_count) : nullptr};
  };
  check(text("quantize ", type<T>, " scale of ", sizeof(Scale), " bytes, ", rows, " x ", cols, " gap ", gap, " shift ", shift,
             hostile ? " hostile" : "", " without ", left_out),
        rows * blocks - left_out, make, output("codes", codes), output("scales", scales));
}

/// Every bf16 in blocks whose scale comes from each of many largest values.
void every_bf16() {
  std::int64_t const rows = on_fibers ? 48 : 512, cols = 65536;
  array<bf16> x(static_cast<std::size_t>(rows * cols));
  array<std::uint8_t> codes(static_cast<std::size_t>(rows * cols));
  array<float> scales(static_cast<std::size_t>(cols / scale_block * rows));
  random r{5};
  for (std::int64_t row = 0; row < rows; ++row)
    for (std::int64_t c = 0; c < cols; ++c) {
      // Magnitudes at most the block's largest: 2⁷ mantissas with some exponents below it.
      auto const largest = static_cast<std::uint32_t>(r.below(0x7F80));
      std::uint32_t const below = static_cast<std::uint32_t>(r.below(0x600));
      std::uint32_t const bits = row % 2 == 0 ? static_cast<std::uint32_t>(c) : largest > below ? largest - below : largest;
      x[static_cast<std::size_t>(row * cols + c)].bits = static_cast<std::uint16_t>(bits | (c % 3 == 0 ? 0x8000U : 0U));
      if (row % 2 != 0 && c % scale_block != 0) {  // like its block's first, or a little less
        std::uint32_t const head = x[static_cast<std::size_t>(row * cols + c / scale_block * scale_block)].bits & 0x7FFFU;
        x[static_cast<std::size_t>(row * cols + c)].bits =
            static_cast<std::uint16_t>((head > below ? head - below : head) | (c % 3 == 0 ? 0x8000U : 0U));
      }
    }
  x.upload();
  auto const make = [&](auto const& at) { return quantize_rows<bf16, float>{{at(x), rows, cols}, {at(codes), at(scales), rows, cols}}; };
  check("quantize every bf16", rows * cols / scale_block, make, output("codes", codes), output("scales", scales));
}

/// On the host: quotient_of against the division, for every mantissa of a block's largest magnitude and of an x below it, at all distances
/// of their exponents that E4M3 tells from zero.
template <class T>
void every_quotient(std::uint32_t first, std::uint32_t last) {
  ++checks;
  std::uint32_t const mantissas = std::is_same_v<T, bf16> ? 128 : 1024;
  for (std::uint32_t a = first; a < last; ++a) {
    float const scale = block_scale(to_float(T{static_cast<std::uint16_t>(a)}));
    cuda::detail::quotient_of<T, float> const quotient(scale);
    for (std::uint32_t b = a > 22 * mantissas ? a - 22 * mantissas : 0; b <= a; ++b)
      for (std::uint32_t const sign : {0U, 0x8000U}) {
        float const x = to_float(T{static_cast<std::uint16_t>(b | sign)});
        std::uint8_t const expected = to_e4m3(moesaic::detail::quotient(x, scale)), got = to_e4m3(quotient(x));
        if (got == expected) continue;
        ++failures;
        std::printf("FAIL quotient of %s: 0x%04x in a block of 0x%04x: got 0x%02x, expected 0x%02x\n", type<T>, b | sign, a, got, expected);
        return;
      }
  }
}

template <class T, class Scale>
void quantize_shapes() {
  for (std::int64_t const rows : {1, 2, 3, 4, 5, 8, 33, 130})
    for (std::int64_t const cols : {8, 16, 120, 128, 136, 256, 1024, 2048, 2880, 7168, 5, 100, 129}) {
      if (on_fibers && rows > 5 && cols > 256) continue;
      for (bool const hostile : {false, true}) {
        quantize<T, Scale>(rows, cols, 0, 0, hostile, 0);
        quantize<T, Scale>(rows, cols, 8, 0, hostile, 0);
        if (cols <= 256) quantize<T, Scale>(rows, cols, 3, 1, hostile, 0);
      }
      if (rows > 1) quantize<T, Scale>(rows, cols, 16, 0, true, 1);
      if (rows > 1) quantize<T, Scale>(rows, cols, 0, 0, true, ceil_div(cols, scale_block) + 1);
    }
}

/// A map of `slots` slots, some of them without a row.
struct routed {
  array<std::int32_t> row_to_slot, slot_to_row;

  routed(std::int64_t slots, std::int64_t capacity, random& r, bool with_holes)
      : row_to_slot(static_cast<std::size_t>(capacity)), slot_to_row(static_cast<std::size_t>(slots)) {
    for (std::int64_t i = 0; i < slots; ++i) slot_to_row[static_cast<std::size_t>(i)] = -1;
    for (std::int64_t i = 0; i < capacity; ++i) row_to_slot[static_cast<std::size_t>(i)] = -1;
    std::vector<std::int32_t> order(static_cast<std::size_t>(slots));
    for (std::int64_t i = 0; i < slots; ++i) order[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(i);
    for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[static_cast<std::size_t>(r.below(static_cast<int>(i)))]);
    std::size_t row = 0;
    for (std::int32_t const slot : order) {
      if (with_holes && r.below(5) == 0) continue;
      row_to_slot[row] = slot;
      slot_to_row[static_cast<std::size_t>(slot)] = static_cast<std::int32_t>(row);
      row += capacity > slots && r.below(6) == 0 ? 2 : 1;  // padding in between, where there is room for it
      if (row >= static_cast<std::size_t>(capacity)) break;
    }
    row_to_slot.upload();
    slot_to_row.upload();
  }
};

template <class T>
void permute_one(std::int64_t tokens, int top_k, std::int64_t cols, std::int64_t gap, bool both_ways, bool with_holes) {
  std::int64_t const slots = tokens * top_k, stride = cols + gap;
  random r{static_cast<std::uint64_t>(slots * 31 + cols)};
  routed map(slots, slots, r, with_holes);
  array<T> x(static_cast<std::size_t>(tokens * stride)), out(static_cast<std::size_t>(slots * (cols + gap)));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = value_of<T>(r, true);
  x.upload();
  auto const make = [&](auto const& at) {
    return permute_row<T>{{at(x), tokens, cols, stride},
                          {at(map.row_to_slot), both_ways ? at(map.slot_to_row) : nullptr},
                          top_k,
                          {at(out), slots, cols, cols + gap}};
  };
  check(text("permute ", type<T>, " T=", tokens, " K=", top_k, " cols ", cols, " gap ", gap, both_ways ? " both ways" : ""), slots, make,
        output("out", out));
}

template <class Scale>
void permute_quantized_one(std::int64_t tokens, int top_k, std::int64_t cols, bool both_ways, bool with_holes) {
  std::int64_t const slots = tokens * top_k, blocks = ceil_div(cols, scale_block);
  random r{static_cast<std::uint64_t>(slots * 37 + cols)};
  routed map(slots, slots, r, with_holes);
  array<std::uint8_t> codes(static_cast<std::size_t>(tokens * cols)), out_codes(static_cast<std::size_t>(slots * cols));
  array<Scale> scales(static_cast<std::size_t>(blocks * align_up(tokens, 4))),
      out_scales(static_cast<std::size_t>(blocks * align_up(slots, 4)));
  for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<std::uint8_t>(r.next());
  for (std::size_t i = 0; i < scales.size(); ++i) scales[i] = static_cast<Scale>(r.below(256));
  codes.upload();
  scales.upload();
  auto const make = [&](auto const& at) {
    return permute_quantized_row<Scale>{{at(codes), at(scales), tokens, cols},
                                        {at(map.row_to_slot), both_ways ? at(map.slot_to_row) : nullptr},
                                        top_k,
                                        {at(out_codes), at(out_scales), slots, cols}};
  };
  check(text("permute quantised, scale of ", sizeof(Scale), " bytes, T=", tokens, " K=", top_k, " cols ", cols,
             both_ways ? " both ways" : ""),
        slots, make, output("codes", out_codes), output("scales", out_scales));
}

/// Rows with padding among them, as DeepGEMM has them.
void permute_padded(std::int64_t tokens, int top_k, std::int64_t cols) {
  std::int64_t const slots = tokens * top_k, capacity = slots * 2 + 7, blocks = ceil_div(cols, scale_block);
  random r{static_cast<std::uint64_t>(slots * 41 + cols)};
  routed map(slots, capacity, r, true);
  array<bf16> x(static_cast<std::size_t>(tokens * cols)), out(static_cast<std::size_t>(capacity * cols));
  array<std::uint8_t> codes(static_cast<std::size_t>(tokens * cols)), out_codes(static_cast<std::size_t>(capacity * cols));
  array<float> scales(static_cast<std::size_t>(blocks * align_up(tokens, 4))),
      out_scales(static_cast<std::size_t>(blocks * align_up(capacity, 4)));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = value_of<bf16>(r, true), codes[i] = static_cast<std::uint8_t>(r.next());
  for (std::size_t i = 0; i < scales.size(); ++i) scales[i] = r.normal();
  x.upload();
  codes.upload();
  scales.upload();
  auto const layout = [&](auto const& at) {
    deep_gemm_layout l;
    l.row_to_slot = at(map.row_to_slot);
    l.capacity = capacity;
    l.alignment = 4;
    return l;
  };
  auto const make = [&](auto const& at) {
    return permute_row<bf16, deep_gemm_layout>{{at(x), tokens, cols}, layout(at), top_k, {at(out), capacity, cols}};
  };
  auto const make_quantized = [&](auto const& at) {
    return permute_quantized_row<float, deep_gemm_layout>{
        {at(codes), at(scales), tokens, cols}, layout(at), top_k, {at(out_codes), at(out_scales), capacity, cols}};
  };
  check(text("permute padded T=", tokens, " K=", top_k, " cols ", cols), capacity, make, output("out", out));
  check(text("permute quantised padded T=", tokens, " K=", top_k, " cols ", cols), capacity, make_quantized, output("codes", out_codes),
        output("scales", out_scales));
}

}  // namespace

void check_rows() {
  quantize_shapes<bf16, float>();
  quantize_shapes<bf16, std::uint8_t>();
  quantize_shapes<fp16, float>();
  quantize_shapes<float, float>();
  quantize_shapes<float, std::uint8_t>();
  quantize_shapes<bf16, e8m0_as_f32>();
  every_bf16();
  for (std::uint32_t const exponent : {0U, 40U, 113U, 114U, 120U, 127U, 200U, 254U})
    every_quotient<bf16>(exponent * 128, (exponent + 1) * 128);
  every_quotient<fp16>(0, on_fibers ? 64 : 0x800);
  every_quotient<fp16>(13 * 1024, 14 * 1024);
  every_quotient<fp16>(30 * 1024, on_fibers ? 30 * 1024 + 64 : 31 * 1024);
  for (std::int64_t const tokens : {1, 3, 64, 257})
    for (int const top_k : {1, 3, 8})
      for (std::int64_t const cols : {8, 16, 48, 128, 1000, 2880, 7168, 20480, 7}) {
        if (on_fibers && tokens > 3 && cols > 128) continue;
        for (bool const both_ways : {false, true})
          for (bool const with_holes : {false, true}) {
            permute_one<bf16>(tokens, top_k, cols, 0, both_ways, with_holes);
            permute_one<float>(tokens, top_k, cols, 4, both_ways, with_holes);
            permute_one<fp16>(tokens, top_k, cols, 1, both_ways, with_holes);
            permute_quantized_one<float>(tokens, top_k, cols, both_ways, with_holes);
            permute_quantized_one<std::uint8_t>(tokens, top_k, cols, both_ways, with_holes);
          }
        permute_padded(tokens, top_k, cols);
      }
}

}  // namespace stages
