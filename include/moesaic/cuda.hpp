// The CUDA door: the front door and the CUDA backend. For files that nvcc compiles, CUDA 13; needs nothing but the CUDA runtime.
#pragma once

#include <moesaic/config/layer.hpp>
#include <moesaic/config/models.hpp>
#include <moesaic/config/weights.hpp>
#include <moesaic/core/status.hpp>
#include <moesaic/core/views.hpp>
#include <moesaic/cuda/on.hpp>
#include <moesaic/cuda/requires.hpp>
#include <moesaic/pipeline/adapters.hpp>
#include <moesaic/pipeline/checked.hpp>
#include <moesaic/pipeline/describe.hpp>
#include <moesaic/pipeline/forward.hpp>
#include <moesaic/pipeline/prepare.hpp>
#include <moesaic/pipeline/stages.hpp>
#include <moesaic/reference/on.hpp>
#include <moesaic/semantics/handoff.hpp>
#include <moesaic/version.hpp>
