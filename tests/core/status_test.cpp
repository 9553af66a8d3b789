#include <gtest/gtest.h>

#include <moesaic/core/status.hpp>
#include <string>

namespace {

using moesaic::errc;
using moesaic::status;

std::string text(status const& s) { return describe(s).c_str(); }

TEST(status, default_is_fine) {
  EXPECT_TRUE(status{});
  EXPECT_EQ(text(status{}), "ok");
}

TEST(status, line_names_argument_member_and_values) {
  EXPECT_EQ(text({errc::null_argument, "x", "data", 0, 0}), "x.data is null");
  EXPECT_EQ(text({errc::misaligned, "y", "data", 8, 16}), "y.data is 8 bytes past a multiple of 16");
  EXPECT_EQ(text({errc::out_of_range, "x", "rows", -3, 268435455}), "x.rows is -3, expected 0 to 268435455");
  EXPECT_EQ(text({errc::shape_mismatch, "x", "cols", 7167, 7168}), "x.cols is 7167, expected 7168");
  EXPECT_EQ(text({errc::too_small, "out", "capacity", 63, 64}), "out.capacity is 63, expected at least 64");
  EXPECT_EQ(text({errc::memory_too_small, "workspace", "", 64, 128}), "workspace holds 64 bytes, needed are 128");
  EXPECT_EQ(text({errc::device_refused, "kernel launch", "", 209, 0}), "kernel launch was refused with error 209");
}

TEST(status, longest_values_fit_and_are_exact) {
  constexpr long long lowest = -9223372036854775807LL - 1;
  EXPECT_EQ(text({errc::out_of_range, "a", "", lowest, 9223372036854775807LL}),
            "a is -9223372036854775808, expected 0 to 9223372036854775807");
}

TEST(status, text_is_cut_and_never_overrun) {
  std::string const long_name(400, 'n');
  EXPECT_EQ(text({errc::null_argument, long_name.c_str(), "", 0, 0}), std::string(191, 'n'));
}

static_assert(!status{errc::null_argument, "x", "", 0, 0});

}  // namespace
