// Every family of docs/models.md as a small layer, with the formula that it is held to. Shapes are invented; rules are the family's.
#pragma once

#include <moesaic/config/layer.hpp>
#include <moesaic/config/models.hpp>

#include "formulas.hpp"

namespace families {

using namespace moesaic;
using formulas::numbers;
using formulas::picks;

inline constexpr int hidden = 40, inter = 24, experts = 12;

/// `base` in the invented shape: the shipped type's rules are what is tested.
constexpr moe_config small(moe_config base, int top_k = 4) {
  base.hidden = hidden;
  base.inter = inter;
  base.experts = experts;
  base.top_k = top_k;
  if (base.shared_inter > 0) base.shared_inter = 16;
  return base;
}
constexpr moe_config small_groups(moe_config base, int n_group, int kept, int top_k = 4) {
  base = small(base, top_k);
  base.n_group = n_group;
  base.topk_group = kept;
  return base;
}
template <class F>
constexpr moe_config with(moe_config c, F const& f) {
  f(c);
  return c;
}
using formulas::sum_of;

/// Defaults that a family overrides.
struct family {
  static constexpr auto act = formulas::swiglu;
  static constexpr auto shared_act = formulas::swiglu;
  static constexpr bool weight_at_input = false;
  /// What the layer makes of its two parts; `gate` is x · w of the shared expert's own gate.
  static double join(double routed, double shared, double) { return routed + shared; }
};
struct gated_shared : family {
  static double join(double routed, double shared, double gate) { return routed + formulas::sigmoid(gate) * shared; }
};

struct deepseek_v2 : family {
  static constexpr moe_config config = small_groups(models::deepseek_v2::config, 4, 2, 3);
  static picks choose(numbers const& z, numbers const& b) { return formulas::deepseek_v2(z, b); }
};
struct deepseek_v2_lite : family {
  static constexpr moe_config config = small(models::deepseek_v2_lite::config);
  static picks choose(numbers const& z, numbers const& b) { return formulas::softmax_as_is(z, b); }
};
struct deepseek_v3 : family {
  static constexpr moe_config config = small_groups(models::deepseek_v3::config, 4, 2);
  static picks choose(numbers const& z, numbers const& b) { return formulas::deepseek_v3(z, b); }
};
struct deepseek_v4 : family {
  static constexpr moe_config config = small(models::deepseek_v4_flash::config);
  static constexpr auto act = formulas::swiglu_clamped;
  static constexpr auto shared_act = formulas::swiglu_clamped;
  static picks choose(numbers const& z, numbers const& b) { return formulas::deepseek_v4(z, b); }
};
struct deepseek_v4_hash : family {
  static constexpr moe_config config = small(models::deepseek_v4_flash_hash::config);
  static constexpr auto act = formulas::swiglu_clamped;
  static constexpr auto shared_act = formulas::swiglu_clamped;
  static constexpr int table[4] = {7, 0, 11, 5};  // what tid2eid would say
  static picks choose(numbers const& z, numbers const&) { return formulas::deepseek_v4_hash(z, {7, 0, 11, 5}); }
};
struct kimi_k2 : family {
  static constexpr moe_config config = small(models::kimi_k2::config);
  static picks choose(numbers const& z, numbers const& b) { return formulas::sigmoid_bias(z, b, 4, 2.827, 1e-20); }
};
struct kimi_k3 : family {
  static constexpr moe_config config = with(small(models::kimi_k2::config), [](moe_config& c) { c.act = activation_fn::situ; });
  static constexpr auto act = formulas::situ;
  static constexpr auto shared_act = formulas::situ;
  static picks choose(numbers const& z, numbers const& b) { return formulas::sigmoid_bias(z, b, 4, 2.827, 1e-20); }
};
struct bailing : family {
  static constexpr moe_config config = small_groups(models::bailing_hybrid::config, 4, 2);
  static picks choose(numbers const& z, numbers const& b) { return formulas::deepseek_v3(z, b); }
};
struct glm5 : family {
  static constexpr moe_config config = small(models::glm5::config);
  static picks choose(numbers const& z, numbers const& b) { return formulas::sigmoid_bias(z, b, 4, 2.5, 1e-20); }
};
struct hy3 : family {
  static constexpr moe_config config = small(models::hy3::config);
  static picks choose(numbers const& z, numbers const& b) { return formulas::sigmoid_bias(z, b, 4, 2.826, 1e-20); }
};
struct lfm2 : family {
  static constexpr moe_config config = small(models::lfm2_8b::config);
  static picks choose(numbers const& z, numbers const& b) { return formulas::sigmoid_bias(z, b, 4, 1.0, 1e-6); }
};
struct minimax_m2 : family {
  static constexpr moe_config config = small(models::minimax_m2::config);
  static picks choose(numbers const& z, numbers const& b) { return formulas::sigmoid_bias(z, b, 4, 1.0, 0.0); }
};
struct minimax_m3 : family {
  static constexpr moe_config config = small(models::minimax_m3::config);
  static constexpr auto act = formulas::swiglu_oai;
  static constexpr auto shared_act = formulas::swiglu_oai;
  static picks choose(numbers const& z, numbers const& b) { return formulas::sigmoid_bias(z, b, 4, 1.0, 0.0); }
  static double join(double routed, double shared, double) { return 2.0 * routed + shared; }
};
struct step3_7 : family {
  static constexpr moe_config config = small(models::step3_7_flash_clamped::config);
  static constexpr auto act = formulas::swiglu_step;
  static constexpr auto shared_act = formulas::swiglu_step_shared;
  static picks choose(numbers const& z, numbers const& b) { return formulas::sigmoid_bias(z, b, 4, 1.0, 0.0); }
};
struct axk2 : family {
  static constexpr moe_config config = with(small_groups(models::deepseek_v3::config, 4, 1), [](moe_config& c) {
    c.top_k = 3;
    c.group_mask = group_mask_fn::zero;
  });
  static picks choose(numbers const& z, numbers const& b) { return formulas::axk2(z, b); }
};
struct mistral_large3 : family {
  static constexpr moe_config config = with(small_groups(models::deepseek_v3::config, 4, 2), [](moe_config& c) {
    c.score = score_fn::softmax;
    c.bias = false;
    c.route_scale = 1.0F;
    c.group_mask = group_mask_fn::zero;
  });
  static picks choose(numbers const& z, numbers const& b) { return formulas::mistral_large3(z, b); }
};
struct mixtral : family {
  static constexpr moe_config config = small(models::mixtral_8x7b::config);
  static picks choose(numbers const& z, numbers const& b) { return formulas::softmax_renormalised(z, b); }
};
struct qwen1_5 : gated_shared {
  static constexpr moe_config config = small(models::qwen1_5_moe_a2_7b::config);
  static picks choose(numbers const& z, numbers const& b) { return formulas::softmax_as_is(z, b); }
};
struct qwen3_next : gated_shared {
  static constexpr moe_config config = small(models::qwen3_next_80b::config);
  static picks choose(numbers const& z, numbers const& b) { return formulas::softmax_renormalised(z, b); }
};
struct llama4 : family {
  static constexpr moe_config config = small(models::llama4_scout::config, 1);
  static constexpr bool weight_at_input = true;
  static picks choose(numbers const& z, numbers const& b) { return formulas::llama4(z, b); }
};
struct gpt_oss : family {
  static constexpr moe_config config = small(models::gpt_oss_120b::config);
  static constexpr auto act = formulas::swiglu_oai;
  static picks choose(numbers const& z, numbers const&) { return formulas::softmax_of_selected(z, 4); }
};
struct granite : family {
  static constexpr moe_config config = with(small(models::gpt_oss_120b::config), [](moe_config& c) {
    c.logit_bias = c.expert_bias = false;
    c.act = activation_fn::swiglu;
    c.act_limit = 0.0F;
  });
  static picks choose(numbers const& z, numbers const&) { return formulas::softmax_of_selected(z, 4); }
};
struct cohere2 : family {  // shared experts averaged with the routed ones
  static constexpr moe_config config = with(granite::config, [](moe_config& c) {
    c.shared_inter = 16;
    c.route_scale = c.shared_scale = 0.5F;
    c.scale_at = scale_site::output;
  });
  static picks choose(numbers const& z, numbers const&) { return formulas::softmax_of_selected(z, 4); }
  static double join(double routed, double shared, double) { return (routed + shared) / 2.0; }
};
struct phi35 : family {
  static constexpr moe_config config = small(models::phi35_moe::config, 2);
  static picks choose(numbers const& z, numbers const& b) { return formulas::sparsemixer(z, b); }
};
struct ernie45 : family {
  static constexpr moe_config config = small(models::ernie45_21b::config);
  static picks choose(numbers const& z, numbers const& b) { return formulas::ernie(z, b); }
};
struct longcat : family {
  static constexpr moe_config config = with(small(models::longcat_flash::config, 6), [](moe_config& c) { c.zero_experts = 6; });
  static picks choose(numbers const& z, numbers const& b) { return formulas::longcat(z, b); }
};
struct grok : family {
  static constexpr moe_config config = with(small(models::mixtral_8x7b::config), [](moe_config& c) {
    c.logit_softcap = 30.0F;
    c.act = activation_fn::geglu;
  });
  static constexpr auto act = formulas::geglu;
  static picks choose(numbers const& z, numbers const& b) { return formulas::grok(z, b); }
};
struct gemma4_experts : family {  // its router is the engine's; here the softmax router stands in for it
  static constexpr moe_config config = with(small(models::mixtral_8x7b::config), [](moe_config& c) { c.act = activation_fn::geglu_tanh; });
  static constexpr auto act = formulas::geglu_tanh;
  static picks choose(numbers const& z, numbers const& b) { return formulas::softmax_renormalised(z, b); }
};
struct laguna : family {
  static constexpr moe_config config = with(small(models::minimax_m2::config), [](moe_config& c) { c.logit_softcap = 30.0F; });
  static picks choose(numbers const& z, numbers const& b) { return formulas::laguna(z, b); }
};
struct muse_spark : family {
  static constexpr moe_config config = with(small(models::minimax_m2::config), [](moe_config& c) {
    c.logit_scale = 0.177F;
    c.norm_eps = 1e-15F;
  });
  static picks choose(numbers const& z, numbers const& b) { return formulas::muse_spark(z, b); }
};
struct kolibri1 : family {
  static constexpr moe_config config = with(small(models::minimax_m2::config), [](moe_config& c) { c.rank = rank_fn::logit; });
  static picks choose(numbers const& z, numbers const& b) { return formulas::kolibri(z, b); }
};
struct flint : family {
  static constexpr moe_config config = with(small(models::minimax_m2::config), [](moe_config& c) { c.bias = false; });
  static picks choose(numbers const& z, numbers const& b) { return formulas::flint(z, b); }
};
struct nemotron3 : family {
  static constexpr moe_config config = with(small(models::glm5::config), [](moe_config& c) { c.act = activation_fn::relu2; });
  static constexpr auto act = formulas::relu2;
  static constexpr auto shared_act = formulas::relu2;
  static picks choose(numbers const& z, numbers const& b) { return formulas::sigmoid_bias(z, b, 4, 2.5, 1e-20); }
};

}  // namespace families

/// X(family) for each of them: a test of that name.
#define MOESAIC_FOR_EACH_FAMILY(X)                                                                                                         \
  X(deepseek_v2)                                                                                                                           \
  X(deepseek_v2_lite) X(deepseek_v3) X(deepseek_v4) X(deepseek_v4_hash) X(kimi_k2) X(kimi_k3) X(bailing) X(glm5) X(hy3) X(lfm2)            \
      X(minimax_m2) X(minimax_m3) X(step3_7) X(axk2) X(mistral_large3) X(mixtral) X(qwen1_5) X(qwen3_next) X(llama4) X(gpt_oss) X(granite) \
          X(cohere2) X(phi35) X(ernie45) X(longcat) X(grok) X(gemma4_experts) X(laguna) X(muse_spark) X(kolibri1) X(flint) X(nemotron3)
