// See pinned_new.cpp.
#pragma once

#include <cstddef>

// From now on operator new takes from `memory` (aligned to 64 bytes), to which freed blocks go back; it is never given up. What was
// allocated before is still freed rightly.
void use_for_new(void* memory, std::size_t bytes);
