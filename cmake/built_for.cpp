// What the program that links this was compiled for: this file gets the program's options.
#include <moesaic/cpu/requires.hpp>

extern std::uint32_t const moesaic_program_built_for;
std::uint32_t const moesaic_program_built_for = moesaic::cpu::built_for;
