// cuda_stages [select] [map] [front] [rows] [activation] [combine]: all of them by default. Prints every failure, and at the end how many
// checks there were; exit status 1 if any failed, 2 where CUDA itself did, 77 where there is no GPU.
#include <cstdio>
#include <cstring>

namespace stages {
extern int total_checks(), total_failures();
extern char const* no_device();
void check_select();
void check_map();
void check_front();
void check_rows();
void check_activation();
void check_combine();
}  // namespace stages

int main(int argc, char** argv) {
  struct {
    char const* name;
    void (*run)();
  } const all[] = {{"map", stages::check_map},   {"select", stages::check_select},         {"front", stages::check_front},
                   {"rows", stages::check_rows}, {"activation", stages::check_activation}, {"combine", stages::check_combine}};
  if (char const* const why = stages::no_device()) {
    std::printf("SKIPPED, nothing was tested: no GPU: %s\n", why);
    return 77;
  }
  for (auto const& part : all) {
    bool wanted = argc < 2;
    for (int i = 1; i < argc; ++i) wanted = wanted || std::strcmp(argv[i], part.name) == 0;
    if (!wanted) continue;
    int const checks = stages::total_checks(), failures = stages::total_failures();
    part.run();
    std::printf("%-10s %5d checks, %d failed\n", part.name, stages::total_checks() - checks, stages::total_failures() - failures);
    std::fflush(stdout);
  }
  std::printf("%s: %d checks, %d failed\n", stages::total_failures() == 0 ? "PASS" : "FAIL", stages::total_checks(),
              stages::total_failures());
  return stages::total_failures() == 0 ? 0 : 1;
}
