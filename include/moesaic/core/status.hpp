// What a call answers: fine, or which argument was wrong and with which value. No exceptions, no printing, no allocation.
#pragma once

#include <moesaic/core/macros.hpp>

namespace moesaic::inline MOESAIC_ABI {

enum class errc {
  ok,
  null_argument,     // a pointer that is read or written is null
  misaligned,        // an address or a row stride is `value` bytes past a multiple of `expected`
  out_of_range,      // a number is above `expected`, or negative
  shape_mismatch,    // a number of rows, columns, experts … is not `expected`
  too_small,         // a number is below `expected`
  memory_too_small,  // caller-owned memory holds `value` bytes where `expected` are needed
  device_refused,    // a device's runtime answered `value`, an error code of its own, when work was given to it
};

/// The answer of every call that can be given wrong arguments. Converts to true when all is well.
/// `argument` names the parameter as the declaration spells it, `member` the part of it that is wrong; both live for ever.
struct [[nodiscard]] status {
  errc code = errc::ok;
  char const* argument = "";
  char const* member = "";
  long long value = 0;
  long long expected = 0;

  constexpr explicit operator bool() const { return code == errc::ok; }
};

/// One readable line, at most 191 characters, zero-terminated; what is longer is cut.
struct status_text {
  char text[192] = {};
  int length = 0;

  constexpr char const* c_str() const { return text; }

  constexpr status_text& put(char const* c) {
    for (; *c != '\0' && length < 191; ++c) text[length++] = *c;
    return *this;
  }
  constexpr status_text& put(long long v) {
    char digit[24] = {};
    int at = 23;
    unsigned long long u = v < 0 ? 0ULL - static_cast<unsigned long long>(v) : static_cast<unsigned long long>(v);
    do digit[--at] = static_cast<char>('0' + u % 10);
    while ((u /= 10) != 0);
    if (v < 0) digit[--at] = '-';
    return put(digit + at);
  }
};

/// "x.cols is 7167, expected 7168".
constexpr status_text describe(status const& s) {
  status_text out;
  if (s.code == errc::ok) return out.put("ok");
  out.put(s.argument);
  if (s.member[0] != '\0') out.put(".").put(s.member);
  switch (s.code) {
    case errc::ok: break;
    case errc::null_argument: out.put(" is null"); break;
    case errc::misaligned: out.put(" is ").put(s.value).put(" bytes past a multiple of ").put(s.expected); break;
    case errc::out_of_range: out.put(" is ").put(s.value).put(", expected 0 to ").put(s.expected); break;
    case errc::shape_mismatch: out.put(" is ").put(s.value).put(", expected ").put(s.expected); break;
    case errc::too_small: out.put(" is ").put(s.value).put(", expected at least ").put(s.expected); break;
    case errc::memory_too_small: out.put(" holds ").put(s.value).put(" bytes, needed are ").put(s.expected); break;
    case errc::device_refused: out.put(" was refused with error ").put(s.value); break;
  }
  return out;
}

}  // namespace moesaic::inline MOESAIC_ABI
