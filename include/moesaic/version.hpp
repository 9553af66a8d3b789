// The version, and the only place that states it: CMake reads this line.
#pragma once

#define MOESAIC_VERSION 100  // MMmmpp: 0.1.0
