#pragma once
#include <moesaic/moesaic.hpp>
#include <moesaic/reference/on.hpp>
#include <Kokkos_Core.hpp>
