#pragma once
#include <moesaic/cpu/gemm.hpp>
