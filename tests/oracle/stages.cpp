#include "stages.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "numbers.hpp"

namespace oracle {

dispatch sort_slots(std::vector<std::int32_t> const& ids, int experts) {
  dispatch d;
  d.slot_to_row.assign(ids.size(), -1);
  d.row_to_slot.resize(ids.size());
  std::iota(d.row_to_slot.begin(), d.row_to_slot.end(), 0);
  auto expert = [&](std::int32_t slot) {
    std::int32_t const id = ids[static_cast<std::size_t>(slot)];
    return id < 0 || id >= experts ? experts : id;
  };
  std::stable_sort(d.row_to_slot.begin(), d.row_to_slot.end(), [&](auto a, auto b) { return expert(a) < expert(b); });
  for (int e = 0; e <= experts; ++e) {
    auto const first = std::partition_point(d.row_to_slot.begin(), d.row_to_slot.end(), [&](auto slot) { return expert(slot) < e; });
    d.expert_offsets.push_back(static_cast<std::int32_t>(first - d.row_to_slot.begin()));
  }
  for (std::size_t row = 0; row < ids.size(); ++row) {
    if (expert(d.row_to_slot[row]) == experts)
      d.row_to_slot[row] = -1;
    else
      d.slot_to_row[static_cast<std::size_t>(d.row_to_slot[row])] = static_cast<std::int32_t>(row);
  }
  return d;
}

double quantized_row::value(std::size_t column) const { return e4m3.decode(codes[column]) * static_cast<double>(scales[column / 128]); }

quantized_row quantize(float const* row, int columns, bool power_of_two) {
  quantized_row out;
  for (int first = 0; first < columns; first += 128) {
    int const last = std::min(first + 128, columns);
    bool nan = false;
    float amax = 1e-4F;
    for (int c = first; c < last; ++c) {
      nan = nan || std::isnan(row[c]);
      amax = std::max(amax, std::fabs(row[c]));  // std::max keeps its first argument where the second is NaN
    }
    float scale = nan ? std::numeric_limits<float>::quiet_NaN() : amax / 448.0F;
    if (power_of_two) scale = e8m0_value(e8m0_not_below(scale));
    out.scales.push_back(scale);
    for (int c = first; c < last; ++c) out.codes.push_back(static_cast<std::uint8_t>(e4m3.encode(static_cast<double>(row[c] / scale))));
  }
  return out;
}

double silu(double x) { return x / (1.0 + std::exp(-x)); }

float combine(std::vector<float> const& weights, std::vector<float const*> const& partials, int column, float const* shared,
              float const* residual) {
  float sum = 0.0F;
  for (std::size_t k = 0; k < weights.size(); ++k)
    if (partials[k] != nullptr) sum = std::fma(weights[k], partials[k][column], sum);
  if (shared != nullptr) sum += shared[column];
  if (residual != nullptr) sum += residual[column];
  return sum;
}

}  // namespace oracle
