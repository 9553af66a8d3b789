// Reads a Hugging Face directory of the DeepSeek-V2/V3 family, runs the compiled model over a prompt of token ids, and prints what may
// come next.
#include <CLI/CLI.hpp>
#include <exception>
#include <iomanip>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "check.hpp"
#include "checkpoint.hpp"
#include "forward.hpp"
#include "hf_config.hpp"
#include "model_tensors.hpp"
#include "report.hpp"
#include "tokens.hpp"

namespace deepseek_v3 {
namespace {

struct options {
  std::string directory, tokens, tokens_file, check, check_case, report, on = on_kokkos.built_in ? "kokkos" : "cuda";
  int top = 5, threads = 0;
};

/// The program is for one model: a directory of another is refused, with every key that differs.
void require_compiled_model(std::string const& directory) {
  std::string const path = directory + "/config.json";
  std::vector<std::string> const all = differences(compiled_model(), read_hf_config(path));
  for (std::string const& line : all) std::cerr << line << '\n';
  if (!all.empty())
    throw input_error(path + ": " + std::to_string(all.size()) + " keys differ from the model that this program was compiled for");
}

bool print_agreement(agreement const& a) {
  std::cout << "check: NMSE " << std::scientific << std::setprecision(2) << a.nmse << ", max relative error " << a.max_error << ", argmax "
            << a.same_argmax << " of " << a.tokens << ", experts " << a.same_experts << " of " << a.choices << ": "
            << (a.good() ? "good" : "WRONG") << '\n';
  for (std::string const& line : a.differences) std::cout << "  " << line << '\n';
  return a.good();
}

/// Before anything is read: a machine that cannot run the model need not have its weights.
backend const& runnable_backend(std::string const& name) {
  backend const& b = name == "cuda" ? on_cuda : on_kokkos;
  if (std::string const why = b.why_not(); !why.empty()) throw backend_error("--backend " + name + ": " + why);
  return b;
}

bool answer(options const& o) {
  backend const& on = runnable_backend(o.on);
  require_compiled_model(o.directory);
  int const vocab_size = compiled_model().vocab_size;
  std::vector<int> const tokens =
      o.tokens_file.empty() ? parse_tokens(o.tokens, "--tokens", vocab_size) : read_tokens(o.tokens_file, vocab_size);
  std::optional<golden> expected;
  if (!o.check.empty()) expected = read_golden(o.check, o.check_case, tokens);
  std::optional<report_file> report;
  if (!o.report.empty()) report.emplace(o.report);

  checkpoint const files(o.directory);
  for (std::string const& line : files.warnings()) std::cerr << "warning: " << line << '\n';
  model_tensors const tensors = find_tensors(files, compiled_model());
  forward_result result = on.run(tensors, tokens, o.threads);
  result.weight_bytes = tensors.bytes + tensors.embedding->bytes / static_cast<std::uint64_t>(vocab_size) * tokens.size();

  if (report) report->write(result, tokens);
  print_summary(std::cout, result, o.top);
  return !expected || print_agreement(compare(*expected, result));
}

}  // namespace
}  // namespace deepseek_v3

int main(int argc, char** argv) {
  deepseek_v3::options o;
  CLI::App app("Runs a DeepSeek checkpoint over a prompt and prints the most probable next tokens");
  app.add_option("directory", o.directory, "Hugging Face directory: config.json and safetensors")->required();
  auto* const prompt = app.add_option_group("prompt");
  prompt->add_option("--tokens", o.tokens, "token ids, separated by commas");
  prompt->add_option("--tokens-file", o.tokens_file, "file of token ids, separated by commas or white space");
  prompt->require_option(1);
  CLI::Option* const check = app.add_option("--check", o.check, "JSON file of expected logits and experts; exit code 1 if they differ");
  CLI::Option* const name = app.add_option("--case", o.check_case, "the case in that file")->needs(check);
  check->needs(name);
  app.add_option("--report", o.report, "JSON file to write: logits, experts, times");
  app.add_option("--top", o.top, "how many next tokens to print")->capture_default_str()->check(CLI::Range(0, 1000));
  app.add_option("--backend", o.on, "what runs the model: kokkos, the processors; cuda, a GPU. Exit code 2 if it cannot run here")
      ->capture_default_str()
      ->check(CLI::IsMember({"kokkos", "cuda"}));
  app.add_option("--threads", o.threads, "threads of the processors, 0 for all")->capture_default_str()->check(CLI::Range(0, 1024));
  try {
    app.parse(argc, argv);
    return deepseek_v3::answer(o) ? 0 : 1;
  } catch (CLI::Success const& help) {
    return app.exit(help);
  } catch (deepseek_v3::backend_error const& e) {
    std::cerr << e.what() << '\n';
    return 2;
  } catch (std::exception const& e) {
    std::cerr << e.what() << '\n';
    return 1;
  }
}
