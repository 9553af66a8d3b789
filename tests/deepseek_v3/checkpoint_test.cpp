// What the reader refuses, and that its one line names file, tensor and value.
#include "checkpoint.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <limits>
#include <random>
#include <span>

#include "safetensors.hpp"
#include "scratch_directory.hpp"

namespace {

using namespace deepseek_v3;

/// The line with which opening `directory` (and then `use`) is refused, or "" if it is not.
template <class Use>
std::string refusal(std::filesystem::path const& directory, Use const& use) {
  try {
    checkpoint const files(directory);
    use(files);
  } catch (input_error const& e) {
    return e.what();
  }
  return "";
}
std::string refusal(std::filesystem::path const& directory) {
  return refusal(directory, [](checkpoint const&) {});
}

struct single_file : testing::Test {
  scratch_directory d;
  std::string const file = d.file("model.safetensors");

  std::string refused(std::string const& content) const {
    d.write("model.safetensors", content);
    return refusal(d.path);
  }
  std::string refused(std::string const& header, std::string const& data) const { return refused(safetensors(header, data)); }
};

std::string const eight(8, '\0');

TEST_F(single_file, tensors_come_with_name_type_shape_and_bytes) {
  d.write(
      "model.safetensors",
      safetensors(
          R"( {"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
          R"("a":{"dtype":"F8_E4M3","shape":[2,2],"data_offsets":[4,8]},"none":{"dtype":"BF16","shape":[3,0],"data_offsets":[8,8]}}   )",
          "0123abcd"));
  checkpoint const files(d.path);
  ASSERT_EQ(files.tensors().size(), 3U);
  EXPECT_EQ(std::memcmp(files.at("a", dtype::f8_e4m3, {2, 2}).data, "abcd", 4), 0);
  EXPECT_EQ(std::memcmp(files.at("b", dtype::f32, {1}).data, "0123", 4), 0);
  EXPECT_EQ(files.at("none", dtype::bf16, {3, 0}).bytes, 0U);
  EXPECT_TRUE(files.warnings().empty());
}

TEST_F(single_file, missing_is_refused) {
  EXPECT_EQ(refusal(d.path), d.path.string() + ": holds neither model.safetensors.index.json nor model.safetensors");
}
TEST_F(single_file, a_directory_in_its_place_is_refused) {
  std::filesystem::create_directory(file);
  EXPECT_EQ(refusal(d.path), file + ": is not a regular file");
}
TEST_F(single_file, shorter_than_a_length_is_refused) {
  EXPECT_EQ(refused("1234567"), file + ": is 7 bytes long, too short for a safetensors file");
  EXPECT_EQ(refused(""), file + ": is 0 bytes long, too short for a safetensors file");
}
TEST_F(single_file, header_of_2_to_the_63_is_refused) {
  EXPECT_EQ(refused(safetensors("{}", "", 1ULL << 63)),
            file + ": announces a header of 9223372036854775808 bytes, the most allowed are 100000000");
}
TEST_F(single_file, header_longer_than_the_file_is_refused) {
  EXPECT_EQ(refused(safetensors("{}", "", 3)), file + ": announces a header of 3 bytes and is only 10 bytes long");
}
TEST_F(single_file, header_that_is_no_json_is_refused) {
  EXPECT_EQ(refused(R"({"a":)", ""), file + ": the header is not JSON, at its byte 6");
  EXPECT_EQ(refused("{} x", "").find(file + ": the header is not JSON"), 0U);
}
TEST_F(single_file, what_the_json_library_would_forgive_is_refused) {
  for (std::string const& header : std::initializer_list<std::string>{"", "   ", "\xef\xbb\xbf{}", "[]", "3", "null"})
    EXPECT_EQ(refused(header, ""), file + ": the header does not begin with '{'") << header;
  EXPECT_EQ(refused(std::string("{}\0more", 7), ""), file + ": the header has a zero byte, at its byte 3");
}
TEST_F(single_file, names_that_are_no_line_are_quoted_as_one) {
  EXPECT_EQ(refused(R"({"a\n\u001b[2J":3})", ""), file + ": tensor 'a??[2J': a number where none belongs");
}
TEST_F(single_file, pipes_are_refused_at_once) {
  ASSERT_EQ(mkfifo(file.c_str(), 0600), 0);
  EXPECT_EQ(refusal(d.path), file + ": is not a regular file");
}
TEST_F(single_file, many_names_take_no_longer_than_their_bytes) {
  std::string header = "{";
  for (int i = 0; i < 200'000; ++i)
    header += (i == 0 ? "\"" : ",\"") + std::to_string(i) + R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
  d.write("model.safetensors", safetensors(header + "}", ""));
  EXPECT_EQ(checkpoint(d.path).tensors().size(), 200'000U);  // minutes if each name were compared with each
}
// Any change of a few bytes gives a file that is read or refused with a line: never a crash, which the sanitizers' build looks for.
TEST_F(single_file, mutations_are_read_or_refused) {
  std::string const valid = safetensors(
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
      R"("a":{"dtype":"F8_E4M3","shape":[2,2],"data_offsets":[4,8]},"none":{"dtype":"BF16","shape":[3,0],"data_offsets":[8,8]}}   )",
      "0123abcd");
  unsigned const seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  std::string const likely = "{}[]\":,0123456789.-eE \\untrals\xff";
  int read = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string file_bytes = valid;
    for (auto changes = 1 + random() % 3; changes > 0; --changes) {
      std::size_t const at = random() % file_bytes.size();
      char const byte = random() % 4 == 0 ? static_cast<char>(random() % 256) : likely[random() % likely.size()];
      if (auto const kind = random() % 8; kind == 0)
        file_bytes.erase(at, 1);
      else if (kind == 1)
        file_bytes.insert(at, 1, byte);
      else
        file_bytes[at] = byte;
    }
    try {
      read_safetensors("f", std::as_bytes(std::span(file_bytes)));
      ++read;
    } catch (input_error const& e) {
      ASSERT_EQ(std::string(e.what()).find("f: "), 0U) << e.what();
      ASSERT_EQ(std::string(e.what()).find('\n'), std::string::npos) << e.what();
    }
  }
  EXPECT_GT(read, 0);
  EXPECT_LT(read, 10'000);
}
TEST_F(single_file, header_that_is_no_utf8_is_refused) {
  EXPECT_EQ(refused("{\"a\xff\":{}}", "").find(file + ": the header is not UTF-8"), 0U);
}
TEST_F(single_file, other_schemas_are_refused) {
  EXPECT_NE(refused(R"({"a":3})", ""), "");
  EXPECT_NE(refused(R"({"a":[]})", ""), "");
  EXPECT_NE(refused(R"({"a":null})", ""), "");
  EXPECT_NE(refused(R"({"__metadata__":"x"})", ""), "");
  EXPECT_NE(refused(R"({"__metadata__":{"x":3}})", ""), "");
  EXPECT_NE(refused(R"({"a":{"dtype":{},"shape":[],"data_offsets":[0,0]}})", ""), "");
  EXPECT_NE(refused(R"({"a":{"dtype":"U8","shape":[[1]],"data_offsets":[0,1]}})", "1"), "");
  EXPECT_NE(refused(R"({"a":{"dtype":"U8","shape":3,"data_offsets":[0,3]}})", "123"), "");
  EXPECT_EQ(refused(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"more":1}})", ""), file + ": tensor 'a': unknown key 'more'");
  EXPECT_EQ(refused(R"({"a":{"dtype":"U8","data_offsets":[0,0]}})", ""), file + ": tensor 'a': shape is missing");
  EXPECT_EQ(refused(R"({"a":{"shape":[0],"data_offsets":[0,0]}})", ""), file + ": tensor 'a': dtype is missing");
  EXPECT_EQ(refused(R"({"a":{"dtype":"U8","shape":[0]}})", ""), file + ": tensor 'a': data_offsets are missing");
  EXPECT_EQ(refused(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0]}})", ""),
            file + ": tensor 'a': data_offsets has 1 numbers, not 2");
}
TEST_F(single_file, deep_nesting_is_refused_at_once) {
  std::string const deep = R"({"a":)" + std::string(200000, '[');
  EXPECT_NE(refused(deep, ""), "");
  std::string nested;
  for (int i = 0; i < 100000; ++i) nested += R"({"a":)";
  EXPECT_NE(refused(nested, ""), "");
}
TEST_F(single_file, numbers_that_are_no_unsigned_integers_are_refused) {
  EXPECT_EQ(refused(R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8.0]}})", eight),
            file + ": tensor 'a': 8.0 is not an unsigned integer");
  EXPECT_EQ(refused(R"({"a":{"dtype":"U8","shape":[-8],"data_offsets":[0,8]}})", eight),
            file + ": tensor 'a': -8 is not an unsigned integer");
}
TEST_F(single_file, unknown_dtypes_are_refused) {
  EXPECT_EQ(refused(R"({"a":{"dtype":"F7","shape":[8],"data_offsets":[0,8]}})", eight), file + ": tensor 'a': dtype 'F7' is unknown");
}
TEST_F(single_file, more_than_8_dimensions_are_refused) {
  EXPECT_EQ(refused(R"({"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,8],"data_offsets":[0,8]}})", eight),
            file + ": tensor 'a': shape has more than 8 dimensions");
}
TEST_F(single_file, names_given_twice_are_refused) {
  std::string const a = R"("a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]})";
  EXPECT_EQ(refused("{" + a + "," + a + "}", eight), file + ": tensor 'a' is given twice");
  EXPECT_EQ(refused(R"({"a":{"dtype":"U8","dtype":"I8","shape":[8],"data_offsets":[0,8]}})", eight),
            file + ": tensor 'a': key 'dtype' is given twice");
}
TEST_F(single_file, overlaps_are_refused) {
  EXPECT_EQ(refused(R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})", eight),
            file + ": tensor 'b': data_offsets [4, 8] overlap the tensor before, which ends at 8");
  // Many names for the same bytes would be a small file that asks for much memory.
  EXPECT_NE(refused(R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}})", eight)
                .find("data_offsets [0, 8] overlap the tensor before, which ends at 8"),
            std::string::npos);
}
TEST_F(single_file, holes_are_refused) {
  EXPECT_EQ(refused(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})", eight),
            file + ": tensor 'b': data_offsets [4, 8] leave a hole after 2");
  EXPECT_EQ(refused(R"({"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})", eight),
            file + ": tensor 'b': data_offsets [4, 8] leave a hole after 0");
}
TEST_F(single_file, backward_offsets_are_refused) {
  EXPECT_EQ(refused(R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[8,0]}})", eight),
            file + ": tensor 'a': data_offsets [8, 0] end before they begin");
}
TEST_F(single_file, sizes_that_overflow_are_refused) {
  EXPECT_EQ(refused(R"({"a":{"dtype":"F32","shape":[2,18446744073709551614],"data_offsets":[0,8]}})", eight),
            file + ": tensor 'a': its shape and dtype give no whole number of bytes below 2^64");
  EXPECT_EQ(refused(R"({"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}})", "1"),
            file + ": tensor 'a': its shape and dtype give no whole number of bytes below 2^64");
}
TEST_F(single_file, dimensions_above_2_to_the_63_are_refused_though_another_is_0) {
  EXPECT_EQ(refused(R"({"a":{"dtype":"U8","shape":[0,9223372036854775808],"data_offsets":[0,0]}})", ""),
            file + ": tensor 'a': shape has 9223372036854775808, which is above 2^63 - 1");
}
TEST_F(single_file, sizes_that_disagree_with_the_shape_are_refused) {
  EXPECT_EQ(refused(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", eight),
            file + ": tensor 'a': data_offsets [0, 8] hold 8 bytes, shape and dtype need 12");
}
TEST_F(single_file, truncated_files_are_refused) {
  EXPECT_EQ(refused(R"({"a":{"dtype":"U8","shape":[9],"data_offsets":[0,9]}})", eight),
            file + ": tensor 'a': data_offsets [0, 9] end behind the file's data, which is 8 bytes long: the file is truncated");
}
TEST_F(single_file, bytes_left_over_are_refused) {
  EXPECT_EQ(refused(R"({"a":{"dtype":"U8","shape":[7],"data_offsets":[0,7]}})", eight),
            file + ": its tensors end at 7 and its data is 8 bytes long");
}
TEST_F(single_file, wrong_type_shape_and_name_are_refused) {
  d.write("model.safetensors", safetensors(R"({"a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}})", eight));
  EXPECT_EQ(refusal(d.path,
                    [](checkpoint const& c) {
                      c.at("a", dtype::bf16, {1, 2});
                    }),
            file + ": tensor 'a' has dtype F32, the model needs BF16");
  EXPECT_EQ(refusal(d.path,
                    [](checkpoint const& c) {
                      c.at("a", dtype::f32, {2, 1});
                    }),
            file + ": tensor 'a' has shape [1, 2], the model needs [2, 1]");
  EXPECT_EQ(refusal(d.path,
                    [](checkpoint const& c) {
                      c.at("a", dtype::f32, {1, 2, 1});
                    }),
            file + ": tensor 'a' has shape [1, 2], the model needs [1, 2, 1]");
  EXPECT_EQ(refusal(d.path,
                    [](checkpoint const& c) {
                      c.at("b", dtype::f32, {1, 2});
                    }),
            d.path.string() + ": tensor 'b' is in none of its files");
}

struct sharded : testing::Test {
  scratch_directory d;
  std::string const index = d.file("model.safetensors.index.json");

  void shard(std::string const& file, std::string const& name) const {
    d.write(file, safetensors("{\"" + name + R"(":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}})", eight));
  }
  std::string refused(std::string const& content) const {
    d.write("model.safetensors.index.json", content);
    return refusal(d.path);
  }
};

TEST_F(sharded, shards_are_joined_and_oddities_are_warned_about) {
  shard("1.safetensors", "a");
  d.write(
      "2.safetensors",
      safetensors(R"({"b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"c":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})", eight));
  d.write("model.safetensors.index.json", R"({"metadata":{"total_size":17},"weight_map":{"a":"1.safetensors","b":"2.safetensors"}})");
  checkpoint const files(d.path);
  EXPECT_TRUE(files.has("a") && files.has("b") && !files.has("c"));
  ASSERT_EQ(files.warnings().size(), 2U);
  EXPECT_EQ(files.warnings()[0], d.file("2.safetensors") + ": tensor 'c' is not in the index and is left out");
  EXPECT_EQ(files.warnings()[1], index + ": total_size is 17, the shards hold 16 bytes");
}
TEST_F(sharded, warnings_that_quote_the_index_are_one_line) {
  shard("1.safetensors", "a");
  d.write("model.safetensors.index.json", "{\"metadata\":{\"total_size\":\"\x7f\"},\"weight_map\":{\"a\":\"1.safetensors\"}}");
  checkpoint const files(d.path);
  ASSERT_EQ(files.warnings().size(), 1U);
  EXPECT_EQ(files.warnings()[0], index + R"(: total_size is "?", the shards hold 8 bytes)");
}
TEST_F(sharded, missing_shards_are_refused) {
  EXPECT_EQ(refused(R"({"weight_map":{"a":"1.safetensors"}})"), d.file("1.safetensors") + ": cannot be opened: No such file or directory");
}
TEST_F(sharded, tensors_missing_in_their_shard_are_refused) {
  shard("1.safetensors", "a");
  EXPECT_EQ(refused(R"({"weight_map":{"a":"1.safetensors","b":"1.safetensors"}})"),
            d.file("1.safetensors") + ": tensor 'b' is missing, and the index says it is here");
}
TEST_F(sharded, tensors_in_two_shards_are_refused) {
  shard("1.safetensors", "a");
  d.write(
      "2.safetensors",
      safetensors(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})", eight));
  EXPECT_EQ(refused(R"({"weight_map":{"a":"1.safetensors","b":"2.safetensors"}})"),
            d.file("2.safetensors") + ": tensor 'a' is also in 1.safetensors");
}
TEST_F(sharded, paths_out_of_the_directory_are_refused) {
  for (std::string const shard : {"../1.safetensors", "/etc/passwd", "x/1.safetensors", "..", ".", "", "a\\\\b", "a\\u0000b"})
    EXPECT_EQ(refused(R"({"weight_map":{"a":")" + shard + R"("}})").find(index + ": tensor 'a': shard '"), 0U) << shard;
}
TEST_F(sharded, ill_formed_indices_are_refused) {
  EXPECT_EQ(refused("{").find(index + ": is not JSON"), 0U);
  EXPECT_EQ(refused("{}"), index + ": weight_map is missing or not an object");
  EXPECT_EQ(refused(R"({"weight_map":[]})"), index + ": weight_map is missing or not an object");
  EXPECT_EQ(refused(R"({"weight_map":{"a":3}})"), index + ": tensor 'a': its shard is not a string");
  EXPECT_EQ(refused(R"({"weight_map":{"a":"1","a":"2"}})"), index + ": key 'a' is given twice");
}

TEST(validate_fp8, nan_codes_and_scales_that_are_not_finite_are_refused) {
  unsigned char codes[4] = {1, 2, 0x7e, 0xfe};
  float scales[2] = {1, 2};
  tensor const c{"w", dtype::f8_e4m3, {2, 2}, reinterpret_cast<std::byte const*>(codes), 4, "f"};
  tensor const s{"w_scale_inv", dtype::f32, {1, 2}, reinterpret_cast<std::byte const*>(scales), 8, "g"};
  EXPECT_NO_THROW(validate_fp8(c, s));
  auto line = [&] {
    try {
      validate_fp8(c, s);
    } catch (input_error const& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  scales[1] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(line(), "g: tensor 'w_scale_inv' holds nan at element 1");
  scales[1] = std::numeric_limits<float>::infinity();
  EXPECT_EQ(line(), "g: tensor 'w_scale_inv' holds inf at element 1");
  scales[1] = 1;
  codes[2] = 0xff;
  EXPECT_EQ(line(), "f: tensor 'w' holds a NaN code at element 2");
}

}  // namespace
