// The front in one launch, where its kernel takes what is asked for (front_kernel.hpp); else its stages one by one, whose bits it gives.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include <moesaic/cuda/clear.hpp>
#include <moesaic/cuda/front_kernel.hpp>
#include <moesaic/cuda/launch.hpp>
#include <moesaic/cuda/map.hpp>
#include <moesaic/cuda/quantize.hpp>
#include <moesaic/cuda/select.hpp>
#include <moesaic/semantics/dispatch.hpp>
#include <moesaic/semantics/quantize.hpp>
#include <moesaic/semantics/select_experts.hpp>

namespace moesaic::inline MOESAIC_ABI::cuda {

/// Which layers have the front in one launch: up to 512 experts, of a router that select.hpp has a kernel for.
template <class L>
inline constexpr bool fuses_front = selects_in_registers<L>&& L::config.choices() <= 512;

#pragma GCC visibility push(hidden)  // see cuda/launch.hpp

namespace detail {

/// Whether front_kernel may run what is asked for: else its stages do, one by one.
template <template <class> class Select, class L>
bool takes_front(front_grid const& grid, [[maybe_unused]] Select<L> const& f) {
  if (std::int64_t{grid.tokens_each} * L::config.top_k > front_shape<L>::most_slots) return false;
  if constexpr (!is_given<Select<L>> && filtered_select<L>::possible)
    return may_filter(f);
  else
    return true;
}

template <template <class> class Select, class L, class Rows>
status start_front(cudaStream_t stream, front_grid const& grid, Select<L> const& select, build_dispatch_map const& map,
                   std::uint32_t* counts, Rows const& rows) {
  using shape = front_shape<L>;
  auto const bytes = static_cast<unsigned>(shape::shared_bytes(grid.tokens_each * L::config.top_k));
  if (bytes > 48 * 1024)
    if (status const s = allow_shared(front_kernel<shape, Select, L, Rows>, static_cast<int>(bytes)); !s) return s;
  return start(stream,
               {.blocks = static_cast<unsigned>(grid.blocks),
                .threads = shape::threads,
                .shared_bytes = bytes,
                .cooperative = grid.blocks > 1,
                .overlaps = true},
               front_kernel<shape, Select, L, Rows>, front_arguments<Select<L>, Rows>{select, map, counts, grid.tokens_each, rows});
}

template <class Select>
status launch_select_and_map(cudaStream_t stream, [[maybe_unused]] Select const& select, build_dispatch_map const& map) {
  if constexpr (!is_given<Select>)
    if (status const s = launcher<Select>::launch(stream, map.map.tokens, select); !s) return s;
  return launcher<build_dispatch_map>::launch(stream, 1, map);
}

}  // namespace detail

/// Bytes of scratch of the front of so many tokens.
template <class L>
constexpr std::size_t front_scratch_bytes(std::int64_t tokens) {
  return static_cast<std::size_t>(detail::front_shape<L>::scratch_bytes(tokens));
}

/// select, then map, in one launch: their bits, in every run and for any number of multiprocessors (of which the grid has at most one block
/// each). select: logits fp32 [T, E+Z], or given_experts, and there is nothing to select; map: ids i32 [T, K], those that `select` writes;
/// T > 0. `scratch`: device memory, 4-byte aligned, front_scratch_bytes<L>(T). More than 4096 slots a multiprocessor, or a misaligned bias:
/// the stages, one by one. Capturable. Errors: device_refused, see start().
template <template <class> class Select, class L>
status launch_front(cudaStream_t stream, int multiprocessors, Select<L> const& select, build_dispatch_map const& map, memory scratch) {
  front_grid const grid = front_grid::of(map.map.tokens, multiprocessors, detail::front_shape<L>::warps);
  if (!detail::takes_front(grid, select)) return detail::launch_select_and_map(stream, select, map);
  return detail::start_front(stream, grid, select, map, static_cast<std::uint32_t*>(scratch.data), detail::x_stays{});
}

/// The same, and x [T, H] quantised into E4M3 codes and scales for 128 columns each (semantics/quantize.hpp): to a row for each token; and
/// `counters`, 4-byte aligned, become zero …
template <template <class> class Select, class L, class X, class Scale>
status launch_front(cudaStream_t stream, int multiprocessors, Select<L> const& select, build_dispatch_map const& map, memory scratch,
                    matrix_view<X const> x, quantized_rows<Scale> const& out, memory counters = {}) {
  front_grid const grid = front_grid::of(x.rows, multiprocessors, 1);
  if (detail::takes_front(grid, select) && rows_are_16_byte_aligned(x) && detail::takes_whole_words(out, x.cols))
    return detail::start_front(stream, grid, select, map, static_cast<std::uint32_t*>(scratch.data),
                               detail::x_by_token<X, Scale>{{x}, out, counters});
  if (status const s = detail::launch_select_and_map(stream, select, map); !s) return s;
  quantize_rows<X, Scale> const quantize{x, out};
  status const s = launcher<quantize_rows<X, Scale>>::launch(stream, x.rows * ceil_div(x.cols, scale_block), quantize);
  return s ? start_clear(stream, counters) : s;
}

/// … or to a row for each slot, behind `ahead` rows, 0 or T of the tokens themselves, as start_quantize_permute does, whose alignment x and
/// out have.
template <template <class> class Select, class L, class X, class Scale>
status launch_front(cudaStream_t stream, int multiprocessors, Select<L> const& select, build_dispatch_map const& map, memory scratch,
                    matrix_view<X const> x, quantized_rows<Scale> const& out, std::int64_t ahead) {
  constexpr std::int64_t many = 16;  // tokens of a block from which an expert has some rows of it
  front_grid const grid = front_grid::of(x.rows, multiprocessors, 1);
  if (detail::takes_front(grid, select))
    return detail::start_front(stream, grid, select, map, static_cast<std::uint32_t*>(scratch.data),
                               detail::x_by_slot<X, Scale>{{x}, out, ahead, ahead > 0 && grid.tokens_each >= many});
  if (status const s = detail::launch_select_and_map(stream, select, map); !s) return s;
  return start_quantize_permute(stream, x, map.map, out, ahead);
}

#pragma GCC visibility pop

}  // namespace moesaic::inline MOESAIC_ABI::cuda
