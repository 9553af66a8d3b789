// The front in one launch against its stages, run one by one by the serial group: choice, map, and where x is quantised its rows.
#include <moesaic/config/layer.hpp>
#include <moesaic/config/models.hpp>
#include <moesaic/cuda/front.hpp>

#include "harness.hpp"

namespace stages {

using namespace moesaic;

template <class Base, int Hidden>
struct narrow {
  static constexpr moe_config config = [] {
    moe_config c = Base::config;
    c.hidden = Hidden;
    return c;
  }();
};
struct odd_experts {
  static constexpr moe_config config{
      .hidden = 136, .inter = 64, .experts = 33, .top_k = 32, .score = score_fn::sqrt_softplus, .norm = norm_fn::sum};
};

namespace {

enum class x_is { as_it_is, by_token, by_slot, by_slot_behind_tokens };
constexpr char const* kinds[] = {"x as it is", "x by token", "x by slot", "x by slot behind tokens"};

template <class Model, class Scale>
void one(char const* name, std::int64_t tokens, int multiprocessors, x_is kind, int valid, bool hostile, bool given) {
  using layer_type = layer<Model>;
  constexpr moe_config c = Model::config;
  constexpr std::int64_t cols = c.hidden, blocks = ceil_div(cols, scale_block);
  bool const by_slot = kind == x_is::by_slot || kind == x_is::by_slot_behind_tokens;
  std::int64_t const slots = tokens * c.top_k, ahead = kind == x_is::by_slot_behind_tokens ? tokens : 0;
  std::int64_t const rows = by_slot ? ahead + slots : tokens;
  auto const n = [](std::int64_t i) { return static_cast<std::size_t>(i); };
  array<float> logits(n(tokens * c.choices())), bias(n(c.choices())), logit_bias(n(c.choices())), weights(n(slots));
  array<std::int32_t> ids(n(slots)), offsets(n(c.experts + 1)), row_to_slot(n(slots)), slot_to_row(n(slots)), valid_tokens(1);
  array<std::uint32_t> scratch(cuda::front_scratch_bytes<layer_type>(tokens) / 4);
  array<bf16> x(n(tokens * cols));
  array<std::uint8_t> codes(n(rows * cols)), token_codes(n(tokens * cols));
  array<Scale> scales(n(blocks * align_up(rows, 4))), token_scales(n(blocks * align_up(tokens, 4)));
  array<std::uint32_t> counters(n(2 * tokens));
  random r{n(tokens * 31 + multiprocessors + c.choices())};
  for (std::size_t i = 0; i < logits.size(); ++i) logits[i] = hostile ? r.hostile() : static_cast<float>(r.below(64)) * 0.125F - 4.0F;
  for (std::size_t i = 0; i < bias.size(); ++i) bias[i] = 0.1F * r.normal(), logit_bias[i] = 0.1F * r.normal();
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = from_float<bf16>(hostile ? r.hostile() : r.normal());
  for (std::size_t i = 0; i < scales.size(); ++i) scales[i] = Scale{};  // the stages differ in whether they zero those behind the last row
  valid_tokens[0] = valid;
  logits.upload();
  bias.upload();
  logit_bias.upload();
  x.upload();
  valid_tokens.upload();
  scratch.upload();

  auto const select = [&](auto const& at) {
    return select_experts<layer_type>{{at(logits), tokens, c.choices()},
                                      {c.bias ? at(bias) : nullptr, c.logit_bias ? at(logit_bias) : nullptr},
                                      {at(ids), at(weights), tokens, c.top_k}};
  };
  auto const map = [&](auto const& at) {
    return build_dispatch_map{
        at(ids), {at(offsets), at(row_to_slot), at(slot_to_row), tokens, c.top_k, c.experts}, valid >= 0 ? at(valid_tokens) : nullptr};
  };
  auto const input = [&](auto const& at) { return matrix_view<bf16 const>(at(x), tokens, cols); };
  auto const quantized = [&](auto const& at) { return quantized_rows<Scale>(at(codes), at(scales), rows, cols); };

  std::string const what =
      text(name, " T=", tokens, " on ", multiprocessors, ", ", kinds[static_cast<int>(kind)], " valid=", valid, given ? ", given ids" : "");
  if (given)
    for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int32_t>(r.below(c.choices() + 3)) - 1;  // some are no expert's
  ids.upload();
  counters.upload();
  weights.upload();
  offsets.upload();
  row_to_slot.upload();
  slot_to_row.upload();
  codes.upload();
  scales.upload();
  on_device const gpu;
  memory const space{gpu(scratch), cuda::front_scratch_bytes<layer_type>(tokens)};
  auto const front = [&](auto const& experts) {
    if (kind == x_is::as_it_is) return cuda::launch_front(nullptr, multiprocessors, experts, map(gpu), space);
    if (kind == x_is::by_token) {
      memory const zeroed{gpu(counters), counters.size() / 2 * 4};
      return cuda::launch_front(nullptr, multiprocessors, experts, map(gpu), space, input(gpu), quantized(gpu), zeroed);
    }
    return cuda::launch_front(nullptr, multiprocessors, experts, map(gpu), space, input(gpu), quantized(gpu), ahead);
  };
  status const s = given ? front(given_experts<layer_type>{}) : front(select(gpu));
  if (!finish(what, s, slots <= 4096 * multiprocessors ? 1 : -1)) return;  // of more the stages are launched one by one

  on_host const cpu;
  reference::on const serial{};
  if (!given) static_cast<void>(serial.launch(tokens, select(cpu)));
  if (kind == x_is::by_token)
    for (std::size_t i = 0; i < counters.size() / 2; ++i) counters[i] = 0;
  compare(what, "counters", counters);
  static_cast<void>(serial.launch(1, map(cpu)));
  compare(what, "ids", ids);
  compare(what, "weights", weights);
  compare(what, "expert_offsets", offsets);
  compare(what, "row_to_slot", row_to_slot);
  compare(what, "slot_to_row", slot_to_row);
  if (kind != x_is::as_it_is) {
    quantized_rows<Scale> const from(cpu(token_codes), cpu(token_scales), tokens, cols), to = quantized(cpu);
    static_cast<void>(serial.launch(tokens * blocks, quantize_rows<bf16, Scale>{input(cpu), from}));
    auto const copy = [&](std::int64_t t, std::int64_t row) {
      std::memcpy(to.codes + row * cols, from.codes + t * cols, n(cols));
      for (std::int64_t b = 0; b < blocks; ++b) to.scale(b, row) = from.scale(b, t);
    };
    for (std::int64_t t = 0; t < tokens; ++t) {
      if (!by_slot || ahead > 0) copy(t, t);
      for (int k = 0; by_slot && k < c.top_k; ++k)
        if (std::int32_t const row = slot_to_row[n(t * c.top_k + k)]; row >= 0) copy(t, ahead + row);
    }
  }
  compare(what, "codes", codes);
  compare(what, "scales", scales);
}

template <class Model, class Scale = float>
void shapes(char const* name) {
  struct {
    std::int64_t tokens;
    int multiprocessors;
  } const all[] = {{1, 132}, {2, 7}, {5, 132}, {16, 1}, {17, 3}, {64, 2}, {65, 132}, {97, 4}, {320, 1}, {2048, 132}, {4097, 132}};
  for (auto const& s : all) {
    if (on_fibers && (s.tokens > 320 || (s.tokens > 60 && s.multiprocessors > 4))) continue;
    for (x_is const kind : {x_is::as_it_is, x_is::by_token, x_is::by_slot, x_is::by_slot_behind_tokens}) {
      int const half = static_cast<int>(s.tokens) / 2;
      one<Model, Scale>(name, s.tokens, s.multiprocessors, kind, -1, false, false);
      one<Model, Scale>(name, s.tokens, s.multiprocessors, kind, half, true, false);
      one<Model, Scale>(name, s.tokens, s.multiprocessors, kind, s.tokens % 2 == 0 ? -1 : half, false, true);
    }
  }
}

}  // namespace

void check_front() {
  for (std::int64_t const tokens : {1, 2, 131, 132, 133, 264, 265, 33792, 1 << 24})
    for (int const multiprocessors : {1, 3, 132, 148, 1000})
      for (int const least : {1, 16}) {
        ++checks;
        cuda::front_grid const g = cuda::front_grid::of(tokens, multiprocessors, least);
        std::int64_t const held = std::int64_t{g.blocks} * g.tokens_each;
        bool const good = g.blocks > 0 && g.blocks <= multiprocessors && g.blocks <= cuda::front_grid::most_blocks && held >= tokens &&
                          held - g.tokens_each < tokens && (g.tokens_each >= least);
        if (good) continue;
        ++failures;
        std::printf("FAIL front_grid of %lld on %d: %d blocks of %d\n", static_cast<long long>(tokens), multiprocessors, g.blocks,
                    g.tokens_each);
      }
  shapes<narrow<models::deepseek_v3, 264>>("deepseek_v3");
  shapes<narrow<models::deepseek_v2, 128>, std::uint8_t>("deepseek_v2");
  shapes<narrow<models::kimi_k2, 136>>("kimi_k2");
  shapes<narrow<models::qwen3_next_80b, 128>>("qwen3_next_80b");
  shapes<narrow<models::mixtral_8x7b, 128>>("mixtral_8x7b");
  shapes<narrow<models::gpt_oss_120b, 128>>("gpt_oss_120b");
  shapes<narrow<models::longcat_flash, 128>>("longcat_flash");
  shapes<narrow<models::llama4_scout, 128>, e8m0_as_f32>("llama4_scout");
  shapes<odd_experts>("odd_experts");
  if (!on_fibers) shapes<models::deepseek_v3>("deepseek_v3, all of it");
}

}  // namespace stages
