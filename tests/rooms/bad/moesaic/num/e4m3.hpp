#pragma once
#include <cstdint>
#include <immintrin.h>
