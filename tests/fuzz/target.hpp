// What a fuzz target is: a function that takes any bytes, and ends the process if they show that something is wrong.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>

/// libFuzzer calls it with what it made up, replay.cpp with the files of the corpus. Returns 0.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size);

/// A law that holds whatever the input is.
inline void always(bool holds, char const* law, std::string_view seen = {}) {
  if (holds) return;
  std::fprintf(stderr, "broken: %s\n%s\n", law, std::string(seen).c_str());
  std::abort();
}

/// What every refusal promises: one line without control characters that begins with the file.
inline void check_refusal(std::string_view line, std::string_view file) {
  always(line.starts_with(file) && line.substr(file.size()).starts_with(": "), "an error begins with the name of its file", line);
  always(line.size() > file.size() + 2, "an error says what is wrong", line);
  for (char const c : line)
    always(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f, "an error is one line without control characters", line);
}
