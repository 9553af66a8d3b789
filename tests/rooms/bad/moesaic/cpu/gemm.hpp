#include <immintrin.h>
#include <moesaic/tune/select.hpp>
#  include <moesaic/kokkos/forward.hpp>
#include "pack.hpp"
