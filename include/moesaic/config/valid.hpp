// Which configurations make sense, one named concept a rule, so that a compiler's message names the rule that was broken.
#pragma once


#include <moesaic/config/moe_config.hpp>
#include <moesaic/core/same_as.hpp>

namespace moesaic::inline MOESAIC_ABI {

template <class M>
concept has_moe_config = detail::same_as<decltype(M::config), moe_config const>;

template <class M>
concept hidden_is_a_positive_multiple_of_8 = M::config.hidden > 0 && M::config.hidden % 8 == 0;

template <class M>
concept inter_is_a_positive_multiple_of_8 = M::config.inter > 0 && M::config.inter % 8 == 0;

template <class M>
concept shared_inter_is_zero_or_a_multiple_of_8 = M::config.shared_inter >= 0 && M::config.shared_inter % 8 == 0;

template <class M>
concept zero_experts_are_not_negative = M::config.zero_experts >= 0;

template <class M>
concept groups_divide_the_experts = M::config.experts > 0 && M::config.n_group > 0 && M::config.choices() % M::config.n_group == 0;

template <class M>
concept kept_groups_are_at_most_all_groups = M::config.topk_group > 0 && M::config.topk_group <= M::config.n_group;

template <class M>
concept top2_sum_needs_two_experts_per_group = M::config.n_group == 1 || M::config.group_score != group_score_fn::top2_sum ||
                                               M::config.choices() / M::config.n_group >= 2;

template <class M>
concept top_k_fits_into_the_kept_groups = M::config.top_k > 0 &&
                                          M::config.top_k <= M::config.topk_group*(M::config.choices() / M::config.n_group);

template <class M>
concept norm_eps_is_not_negative = M::config.norm_eps >= 0.0F;

template <class M>
concept softcap_and_limits_are_not_negative =
    M::config.logit_softcap >= 0.0F && M::config.act_limit >= 0.0F && M::config.shared_act_limit >= 0.0F;

template <class M>
concept scores_of_the_selected_alone_need_rank_logit =
    (M::config.score != score_fn::softmax_of_selected && M::config.score != score_fn::sparsemixer) || M::config.rank == rank_fn::logit;

template <class M>
concept scores_of_the_selected_alone_are_normalised =
    (M::config.score != score_fn::softmax_of_selected && M::config.score != score_fn::sparsemixer) || M::config.norm == norm_fn::none;

template <class M>
concept a_gated_shared_expert_exists_and_has_no_other_scale =
    !M::config.shared_gated || (M::config.shared_inter > 0 && M::config.shared_scale == 1.0F);

template <class M>
concept zero_experts_need_the_weight_at_the_output = M::config.zero_experts == 0 || M::config.weight_at == weight_site::output;

template <class M>
concept valid_model = has_moe_config<M> && hidden_is_a_positive_multiple_of_8<M> && inter_is_a_positive_multiple_of_8<M> &&
    shared_inter_is_zero_or_a_multiple_of_8<M> && groups_divide_the_experts<M> && kept_groups_are_at_most_all_groups<M> &&
    top2_sum_needs_two_experts_per_group<M> && top_k_fits_into_the_kept_groups<M> && norm_eps_is_not_negative<M> &&
    zero_experts_are_not_negative<M> && softcap_and_limits_are_not_negative<M> && scores_of_the_selected_alone_need_rank_logit<M> &&
    scores_of_the_selected_alone_are_normalised<M> && a_gated_shared_expert_exists_and_has_no_other_scale<M> &&
    zero_experts_need_the_weight_at_the_output<M>;

}  // namespace moesaic::inline MOESAIC_ABI
