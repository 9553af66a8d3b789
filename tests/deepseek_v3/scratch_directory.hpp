// A directory of a test's own, and small safetensors files written byte by byte, the bad ones too.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

struct scratch_directory {
  std::filesystem::path path;

  scratch_directory() {
    auto const* const test = testing::UnitTest::GetInstance()->current_test_info();
    path = std::filesystem::temp_directory_path() /
           ("moesaic." + std::to_string(getpid()) + "." + test->test_suite_name() + "." + test->name());
    std::filesystem::remove_all(path);
    std::filesystem::create_directories(path);
  }
  ~scratch_directory() { std::filesystem::remove_all(path); }
  scratch_directory(scratch_directory const&) = delete;
  scratch_directory& operator=(scratch_directory const&) = delete;

  std::string file(std::string const& name) const { return (path / name).string(); }
  void write(std::string const& name, std::string const& content) const { std::ofstream(path / name, std::ios::binary) << content; }
};

/// A safetensors file: the length that is announced, the header, the data.
inline std::string safetensors(std::string const& header, std::string const& data, std::uint64_t announced) {
  return std::string(reinterpret_cast<char const*>(&announced), 8) + header + data;
}
inline std::string safetensors(std::string const& header, std::string const& data) { return safetensors(header, data, header.size()); }
