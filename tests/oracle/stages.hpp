// The stages whose results are exact, as plain loops over plain vectors.
#pragma once

#include <cstdint>
#include <vector>

namespace oracle {

struct dispatch {
  std::vector<std::int32_t> expert_offsets, row_to_slot, slot_to_row;
};
// Slots sorted by expert with std::stable_sort; those of no expert in [0, experts) are left out and marked −1.
dispatch sort_slots(std::vector<std::int32_t> const& ids, int experts);

// One row in blocks of 128 columns: scale = max(amax, 1e-4) / 448, rounded up to a power of two where `power_of_two`; code = E4M3 of the
// fp32 quotient. A block that holds NaN or an infinity reads back as NaN; its scale is then NaN or infinite.
struct quantized_row {
  std::vector<std::uint8_t> codes;
  std::vector<float> scales;

  double value(std::size_t column) const;
};
quantized_row quantize(float const* row, int columns, bool power_of_two);

double silu(double x);

// Σ_k weights[k] · partials[k][column] by fma in the order of k, null partials left out; then + shared, + residual where they are given.
float combine(std::vector<float> const& weights, std::vector<float const*> const& partials, int column, float const* shared,
              float const* residual);

}  // namespace oracle
