// Pretends that a program was built for what no processor has.
#include <cstdint>

extern std::uint32_t const moesaic_program_built_for;
std::uint32_t const moesaic_program_built_for = 1U << 31;
