#pragma once
#include <moesaic/pipeline/forward.hpp>
