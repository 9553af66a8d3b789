#pragma once
#include <moesaic/version.hpp>

#include <moesaic/num/e4m3.hpp>
