// The CPU backend under conformance, on 1 and 2 threads of a pool that is not ours.
#include <moesaic/cpu.hpp>
#include <string>

#include "thread_pool.hpp"

namespace stamp {
inline constexpr char const* name = "cpu";
using context_type = moesaic::cpu::on<conformance::thread_pool&>;
inline constexpr int settings[] = {1, 2};
inline context_type context(int threads) {
  static conformance::thread_pool one(1), two(2);
  return context_type(threads == 1 ? one : two);
}
inline std::string describe(int threads) { return std::to_string(threads) + " threads"; }
inline void finish() {}
}  // namespace stamp

#include "parts.hpp"
