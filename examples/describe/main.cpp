// What one MoE layer of a published model costs on a machine, stage by stage:
//   describe deepseek_v3 --tokens 1,64,4096 --bandwidth 4800 --peak 1979000 --launch 2
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <iterator>
#include <map>
#include <moesaic/config/models.hpp>
#include <moesaic/pipeline/describe.hpp>
#include <string>
#include <vector>

namespace {

struct named_model {
  char const* name;
  moesaic::moe_config config;
};
#define MODEL(name) \
  named_model { #name, moesaic::models::name::config }
named_model const models[] = {
    MODEL(deepseek_v3),
    MODEL(deepseek_v2),
    MODEL(deepseek_v2_lite),
    MODEL(deepseek_v4_flash),
    MODEL(deepseek_v4_flash_hash),
    MODEL(deepseek_v4_pro),
    MODEL(kimi_k2),
    MODEL(kimi_linear),
    MODEL(moonlight),
    MODEL(glm5),
    MODEL(glm4_5_air),
    MODEL(glm4_moe_lite),
    MODEL(mimo_v2_flash),
    MODEL(bailing_hybrid),
    MODEL(solar_open),
    MODEL(exaone_moe),
    MODEL(hy3),
    MODEL(lfm2_8b),
    MODEL(minimax_m2),
    MODEL(minimax_m3),
    MODEL(step3_7_flash),
    MODEL(step3_7_flash_clamped),
    MODEL(mixtral_8x7b),
    MODEL(qwen1_5_moe_a2_7b),
    MODEL(qwen3_30b),
    MODEL(qwen3_next_80b),
    MODEL(qwen3_5_35b),
    MODEL(olmoe),
    MODEL(jamba),
    MODEL(llama4_scout),
    MODEL(gpt_oss_120b),
    MODEL(phi35_moe),
    MODEL(ernie45_21b),
    MODEL(longcat_flash),
    MODEL(tiny_a),
    MODEL(tiny_b),
    MODEL(tiny_c),
};

std::map<std::string, moesaic::weight_format> const weight_formats{
    {"f32", moesaic::weight_format::f32}, {"bf16", moesaic::weight_format::bf16}, {"fp8", moesaic::weight_format::e4m3_128x128}};
std::map<std::string, moesaic::activation_format> const activation_formats{{"f32", moesaic::activation_format::f32},
                                                                           {"bf16", moesaic::activation_format::bf16},
                                                                           {"fp8", moesaic::activation_format::e4m3_1x128},
                                                                           {"fp8_ue8m0", moesaic::activation_format::e4m3_1x128_ue8m0}};

void print(moesaic::stage_cost const& s, double seconds, double whole) {
  std::printf("%-12s %8d %13.3f %11.3f %11.3f %11.2f %6.1f %%\n", s.name, s.launches, s.weight_bytes / 1e6, s.row_bytes / 1e6,
              s.operations / 1e9, seconds * 1e6, 100 * seconds / whole);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Launches, bytes, operations and roofline time of one MoE layer");
  std::string name;
  std::vector<std::int64_t> tokens{1, 64, 4096};
  double bandwidth = 100.0, peak = 1000.0, launch = 0.0;
  moesaic::layer_policy policy;
  bool fused = false;
  std::vector<std::string> names;
  for (named_model const& m : models) names.emplace_back(m.name);
  app.add_option("model", name, "a type of moesaic::models")->required()->check(CLI::IsMember(names));
  app.add_option("--tokens", tokens, "tokens in a call")->delimiter(',')->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 27));
  app.add_option("--bandwidth", bandwidth, "GB/s that the machine reads")->check(CLI::PositiveNumber);
  app.add_option("--peak", peak, "GFLOP/s that its GEMMs reach")->check(CLI::PositiveNumber);
  app.add_option("--launch", launch, "µs for each launch")->check(CLI::NonNegativeNumber);
  app.add_option("--weights", policy.weights, "f32, bf16 or fp8")->transform(CLI::CheckedTransformer(weight_formats));
  app.add_option("--activations", policy.activations, "f32, bf16, fp8 or fp8_ue8m0")
      ->transform(CLI::CheckedTransformer(activation_formats));
  app.add_flag("--fused", fused, "gate, up and activation in one launch (as the cpu backend has it)");
  CLI11_PARSE(app, argc, argv);

  moesaic::moe_config const& c = std::find_if(std::begin(models), std::end(models), [&](auto& m) { return name == m.name; })->config;
  moesaic::machine_rates const machine{bandwidth * 1e9, peak * 1e9, launch * 1e-6};
  std::printf("%s: hidden %d, inter %d, %d of %d experts, shared %d\n", name.c_str(), c.hidden, c.inter, c.top_k, c.choices(),
              c.shared_inter);
  for (std::int64_t const t : tokens) {
    moesaic::layer_cost const cost = moesaic::describe(
        c, policy, {.tokens = t, .x_bytes = 2, .y_bytes = 2, .residual = true, .own_element_bytes = fused ? 4 : 0, .fuses_up = fused});
    double const whole = roofline_seconds(cost, machine);
    std::printf("\nT = %lld, about %.1f experts with rows\n", static_cast<long long>(t), moesaic::expected_active_experts(c, t));
    std::printf("%-12s %8s %13s %11s %11s %11s %8s\n", "stage", "launches", "weights MB", "rows MB", "GFLOP", "µs", "share");
    for (moesaic::stage_cost const& s : cost) print(s, roofline_seconds(s, machine), whole);
    print(cost.total(), whole, whole);
  }
}
