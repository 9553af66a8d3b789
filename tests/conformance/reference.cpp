// The reference backend under conformance. expected.cpp holds the same code for the oldest processor: here it is for this one.
#include <moesaic/moesaic.hpp>
#include <string>

// [stamp]
namespace stamp {
inline constexpr char const* name = "reference";
using context_type = moesaic::reference::on;
inline constexpr int settings[] = {1};  // it has one thread
inline context_type context(int) { return {}; }
inline std::string describe(int) { return "its one thread"; }
inline void finish() {}
}  // namespace stamp

#include "parts.hpp"
// [stamp]
