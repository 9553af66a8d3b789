// The CPU backend under conformance: on 1 and 2 threads of cpu::thread_pool, and as 3 threads of an engine that do their shares as workers.
#include <barrier>
#include <moesaic/cpu.hpp>
#include <moesaic/cpu/thread_pool.hpp>
#include <string>

namespace stamp {

/// Calls parallel_for on the pool, or has each of the pool's threads call it on a worker of its own. (That whole calls may be made by
/// workers is tests/cpu/pools_test.cpp's to say.)
class threads {
 public:
  threads(int count, bool workers) : pool_(count), barrier_(count), workers_(workers) {}

  template <class F>
  void parallel_for(std::int64_t n, F const& f) {
    if (!workers_) return pool_.parallel_for(n, f);
    pool_.parallel_for(pool_.threads(), [&](std::int64_t i) {  // one each: who has entered the barrier can take no other
      moesaic::cpu::worker me(static_cast<int>(i), pool_.threads(), [&] { barrier_.arrive_and_wait(); });
      me.parallel_for(n, f);
    });
  }

 private:
  moesaic::cpu::thread_pool pool_;
  std::barrier<> barrier_;
  bool workers_;
};

inline constexpr char const* name = "cpu";
using context_type = moesaic::cpu::on<threads&>;
inline constexpr int settings[] = {1, 2, 3};
inline context_type context(int setting) {
  static threads one(1, false), two(2, false), workers(3, true);
  return context_type(setting == 1 ? one : setting == 2 ? two : workers);
}
inline std::string describe(int setting) { return setting == 3 ? "3 workers" : std::to_string(setting) + " threads"; }
inline void finish() {}

}  // namespace stamp

#include "parts.hpp"
