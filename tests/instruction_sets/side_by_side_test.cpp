// The copies of CMakeLists.txt, all in this program: what each was built for, and that each computes.
#include <gtest/gtest.h>

#include <fstream>
#include <moesaic/cpu/requires.hpp>
#include <set>
#include <sstream>
#include <string>

#include "tiny_layer.hpp"

#if defined(__aarch64__)
#define MOESAIC_FOR_EACH_COPY(X) X(baseline) X(fp16) X(sve2) X(other_version) X(other_version_fp16)
#else
#define MOESAIC_FOR_EACH_COPY(X) X(baseline) X(avx2) X(avx512) X(avx512_vbmi) X(other_version) X(other_version_avx2)
#endif

extern "C" {
#define MOESAIC_DECLARE(name)                  \
  extern std::uint32_t const built_for_##name; \
  extern int const version_##name;             \
  float layer_##name();
MOESAIC_FOR_EACH_COPY(MOESAIC_DECLARE)
}

namespace {

using namespace moesaic::cpu;

struct copy {
  char const* name;
  std::uint32_t built_for;
  int version;
  float (*layer)();
};
copy const copies[] = {
#define MOESAIC_LIST(name) {#name, built_for_##name, version_##name, layer_##name},
    MOESAIC_FOR_EACH_COPY(MOESAIC_LIST)};

TEST(side_by_side, every_copy_that_this_processor_can_run_computes) {
  int ran = 0;
  for (copy const& c : copies) {
    std::uint32_t const missing = missing_on_this_processor(c.built_for);
    if (missing != 0) {
      std::printf("%s is not run: %s\n", c.name, describe_missing(missing).c_str());
      continue;
    }
    float const y = c.layer();
    EXPECT_TRUE(tiny_layer_is_right(y)) << c.name << ": " << y;
    ++ran;
  }
  EXPECT_GE(ran, 2) << "the baseline, of two versions, runs everywhere";
}

TEST(side_by_side, versions_are_two) {
  for (copy const& c : copies) EXPECT_EQ(c.version, std::string(c.name).rfind("other_version", 0) == 0 ? 200 : MOESAIC_VERSION) << c.name;
}

std::string needs(std::uint32_t mask) {
  std::string const line = describe_missing(mask).c_str(), before = "moesaic: this program was built for ", after = ", which";
  return line.substr(before.size(), line.find(after) - before.size());
}

TEST(built_for, names_what_the_options_turned_on) {
#if defined(__aarch64__)
  EXPECT_EQ(needs(built_for_baseline), "asimd, fp");
  EXPECT_EQ(needs(built_for_fp16), "asimd, fp, asimdhp, atomics");
  EXPECT_EQ(needs(built_for_sve2 & ~built_for_fp16), "asimddp, bf16, i8mm, sve, sve2, fcma");
  EXPECT_EQ(built_for_other_version_fp16, built_for_fp16);
#else
  EXPECT_EQ(built_for_baseline, 0U);
  EXPECT_EQ(needs(built_for_avx2), "pni, ssse3, sse4_1, sse4_2, popcnt, avx, f16c, fma, avx2");
  EXPECT_EQ(needs(built_for_avx512),
            "pni, ssse3, sse4_1, sse4_2, popcnt, abm, bmi1, bmi2, movbe, avx, f16c, fma, avx2, avx512f, avx512cd, avx512bw, avx512dq, "
            "avx512vl");
  EXPECT_EQ(needs(built_for_avx512_vbmi & ~built_for_avx512), "avx512vbmi, avx512_fp16");
  EXPECT_EQ(built_for_other_version_avx2, built_for_avx2);
#endif
}

TEST(describe_missing, is_one_line_about_what_is_missing) {
#if defined(__aarch64__)
  EXPECT_STREQ(describe_missing(built_for_fp16 & ~built_for_baseline).c_str(),
               "moesaic: this program was built for asimdhp, atomics, which this processor does not have");
#else
  EXPECT_STREQ(describe_missing(built_for_avx512_vbmi & ~built_for_avx512).c_str(),
               "moesaic: this program was built for avx512vbmi, avx512_fp16, which this processor does not have");
#endif
  EXPECT_STREQ(describe_missing(1U << 31).c_str(), "moesaic: this program was built for unknown, which this processor does not have");
  EXPECT_STREQ(describe_missing(0).c_str(), "moesaic: this processor has all that this program was built for");
  static_assert(describe_missing(~0U).text[383] == '\0');  // the longest line fits
}

TEST(missing_on_this_processor, agrees_with_proc_cpuinfo) {
#if defined(__aarch64__)
  char const* const heading = "Features";
#else
  char const* const heading = "flags";
#endif
  std::ifstream cpuinfo("/proc/cpuinfo");
  std::set<std::string> flags;
  for (std::string line; flags.empty() && std::getline(cpuinfo, line);) {
    if (line.rfind(heading, 0) != 0) continue;
    std::istringstream words(line);
    for (std::string word; words >> word;) flags.insert(word);
  }
  if (flags.empty()) GTEST_SKIP() << "/proc/cpuinfo has no " << heading;
  std::uint32_t const missing = missing_on_this_processor(~0U);
  std::set<std::string> const younger_than_some_kernels = {"avx_vnni", "avx512_bf16", "avx512_fp16"};
  for (int i = 0; i < detail::extension_count; ++i) {
    std::string const name = detail::extensions[i].name;
    if (flags.count(name) == 1 || younger_than_some_kernels.count(name) == 0) {
      EXPECT_EQ((missing >> i & 1U) == 0, flags.count(name) == 1) << name;
    }
  }
  EXPECT_EQ(missing >> detail::extension_count, ~0U >> detail::extension_count) << "what nobody knows, nobody has";
  EXPECT_EQ(missing_on_this_processor(0), 0U);
}

}  // namespace
