// The library once more, for one instruction set or of one version; the boundary is plain numbers.
#include <cstdint>
#include <moesaic/cpu.hpp>

#include "tiny_layer.hpp"

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define COPY(name) JOIN(JOIN(name, _), MOESAIC_COPY)

extern "C" {
extern std::uint32_t const COPY(built_for);
std::uint32_t const COPY(built_for) = moesaic::cpu::built_for;
extern int const COPY(version);
int const COPY(version) = MOESAIC_VERSION;
float COPY(layer)();
float COPY(layer)() { return tiny_layer(moesaic::cpu::on{moesaic::cpu::serial_pool{}}); }
}
