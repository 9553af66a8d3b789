// Linked into every program of moesaic's own, and compiled for any processor: on one that lacks what the program was built for it says so
// in one line and ends the program, before the first constructor of a file that was not compiled so.
#include <cstdio>
#include <cstdlib>
#include <moesaic/cpu/requires.hpp>
#if defined(__linux__) && defined(__x86_64__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

extern std::uint32_t const moesaic_program_built_for;

namespace {

__attribute__((constructor(101))) void check_processor() {
  std::uint32_t const missing = moesaic::cpu::missing_on_this_processor(moesaic_program_built_for);
#if defined(__linux__) && defined(__x86_64__)
  syscall(SYS_arch_prctl, 0x1023, 18);  // permission for AMX (cpu/engine/amx_bf16.hpp); refused where there is none
#endif
  if (missing == 0) return;
  std::fprintf(stderr, "%s\n", moesaic::cpu::describe_missing(missing).c_str());
  std::_Exit(1);
}

}  // namespace
