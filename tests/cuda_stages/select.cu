// select_experts of every kind of router on kind and hostile logits.
#include <moesaic/config/layer.hpp>
#include <moesaic/config/models.hpp>
#include <moesaic/cuda/select.hpp>

#include "harness.hpp"

namespace stages {

using namespace moesaic;

// Not in an unnamed namespace: what has the type of one in its name may be asked to hide, which nvcc wants linkage for.
constexpr moe_config changed(moe_config c, int n_group, int topk_group, group_score_fn score, group_mask_fn mask) {
  c.n_group = n_group;
  c.topk_group = topk_group;
  c.group_score = score;
  c.group_mask = mask;
  return c;
}

struct zero_mask {
  static constexpr moe_config config = changed(models::deepseek_v3::config, 8, 4, group_score_fn::top2_sum, group_mask_fn::zero);
};
struct max_of_group {
  static constexpr moe_config config = changed(models::deepseek_v3::config, 4, 1, group_score_fn::max, group_mask_fn::minus_inf);
};
struct many_groups {
  static constexpr moe_config config = changed(models::deepseek_v3::config, 32, 5, group_score_fn::top2_sum, group_mask_fn::minus_inf);
};
struct capped {
  static constexpr moe_config config{.hidden = 64,
                                     .inter = 64,
                                     .experts = 100,
                                     .top_k = 5,
                                     .logit_bias = true,
                                     .logit_scale = 0.5F,
                                     .logit_softcap = 30.0F,
                                     .rank = rank_fn::logit,
                                     .bias = true,
                                     .norm = norm_fn::clamped_sum,
                                     .norm_eps = 0.25F,
                                     .route_scale = 3.0F};
};
struct everybody {
  static constexpr moe_config config{.hidden = 64, .inter = 64, .experts = 33, .top_k = 32, .score = score_fn::sqrt_softplus};
};
struct too_many {
  static constexpr moe_config config{.hidden = 64, .inter = 64, .experts = 64, .top_k = 40, .score = score_fn::sigmoid, .bias = true};
};

namespace {

constexpr int kinds = 12;
constexpr char const* kind_names[kinds] = {"normal", "ties",       "hostile",    "all NaN",   "all -inf",     "all +inf",
                                           "equal",  "few finite", "very small", "near ties", "rows of each", "wide"};

float logit_of(int kind, random& r, std::int64_t t, int e) {
  switch (kind) {
    case 1: return static_cast<float>(r.below(5)) - 2.0F;
    case 2: return r.hostile();
    case 3: return from_bits(r.below(2) == 0 ? 0x7FC00000U : 0xFFFFFFFFU);
    case 4: return from_bits(0xFF800000U);
    case 5: return from_bits(r.below(9) == 0 ? 0x7FC00000U : 0x7F800000U);
    case 6: return 0.75F;
    case 7: return r.below(20) == 0 ? r.normal() : from_bits(r.below(2) == 0 ? 0x7FC00000U : 0xFF800000U);
    case 8: return -90.0F - 20.0F * r.uniform();
    case 9: return 1.0F + 0x1p-23F * static_cast<float>(r.below(6));
    case 10: return logit_of(static_cast<int>(t % 10), r, t, e);
    case 11: return 100.0F * r.normal();
    default: return r.normal();
  }
}

template <class Model>
void one(char const* name) {
  using layer_type = layer<Model>;
  constexpr moe_config c = Model::config;
  for (int kind = 0; kind < kinds; ++kind)
    for (int bias_kind = 0; bias_kind < (c.bias || c.logit_bias ? 4 : 1); ++bias_kind)
      for (std::int64_t const tokens : {1, 3, 4, 37, 600}) {
        if (on_fibers && tokens > 37) continue;
        std::int64_t const stride = c.choices() + (kind % 2 == 0 ? 0 : 3);
        array<float> logits(static_cast<std::size_t>(tokens * stride)), bias(static_cast<std::size_t>(c.choices())),
            logit_bias(static_cast<std::size_t>(c.choices())), weights(static_cast<std::size_t>(tokens * c.top_k));
        array<std::int32_t> ids(static_cast<std::size_t>(tokens * c.top_k));
        random r{static_cast<std::uint64_t>(kind * 1000 + bias_kind * 100) + static_cast<std::uint64_t>(tokens)};
        for (std::int64_t t = 0; t < tokens; ++t)
          for (int e = 0; e < c.choices(); ++e) logits[static_cast<std::size_t>(t * stride + e)] = logit_of(kind, r, t, e);
        for (int e = 0; e < c.choices(); ++e) {
          auto const i = static_cast<std::size_t>(e);
          bias[i] = bias_kind == 0 ? 0.1F * r.normal() : bias_kind == 1 ? 0.0F : bias_kind == 2 ? r.hostile() : 12.0F + 1e-6F * r.uniform();
          logit_bias[i] = bias_kind == 2 ? r.hostile() : 0.1F * r.normal();
        }
        logits.upload();
        bias.upload();
        logit_bias.upload();
        auto const make = [&](auto const& at) {
          return select_experts<layer_type>{{at(logits), tokens, c.choices(), stride},
                                            {c.bias ? at(bias) : nullptr, c.logit_bias ? at(logit_bias) : nullptr},
                                            {at(ids), at(weights), tokens, c.top_k}};
        };
        check(text("select ", name, " T=", tokens, " logits ", kind_names[kind], " bias ", bias_kind), tokens, make, output("ids", ids),
              output("weights", weights));
      }
}

}  // namespace

void check_select() {
  one<models::deepseek_v3>("deepseek_v3");
  one<models::deepseek_v2>("deepseek_v2");
  one<models::deepseek_v2_lite>("deepseek_v2_lite");
  one<models::deepseek_v4_flash>("deepseek_v4_flash");
  one<models::kimi_k2>("kimi_k2");
  one<models::bailing_hybrid>("bailing_hybrid");
  one<models::minimax_m2>("minimax_m2");
  one<models::minimax_m3>("minimax_m3");
  one<models::step3_7_flash>("step3_7_flash");
  one<models::mixtral_8x7b>("mixtral_8x7b");
  one<models::qwen1_5_moe_a2_7b>("qwen1_5_moe_a2_7b");
  one<models::qwen3_next_80b>("qwen3_next_80b");
  one<models::llama4_scout>("llama4_scout");
  one<models::gpt_oss_120b>("gpt_oss_120b");
  one<models::phi35_moe>("phi35_moe");
  one<models::ernie45_21b>("ernie45_21b");
  one<models::longcat_flash>("longcat_flash");
  one<models::tiny_a>("tiny_a");
  one<zero_mask>("zero_mask");
  one<max_of_group>("max_of_group");
  one<many_groups>("many_groups");
  one<capped>("capped");
  one<everybody>("everybody");
  one<too_many>("too_many");
}

}  // namespace stages
