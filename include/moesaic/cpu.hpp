// The CPU door: the front door and the CPU backend on your own threads. No dependency.
#pragma once

#include <moesaic/config/layer.hpp>
#include <moesaic/config/models.hpp>
#include <moesaic/config/weights.hpp>
#include <moesaic/core/status.hpp>
#include <moesaic/core/views.hpp>
#include <moesaic/cpu/on.hpp>
#include <moesaic/cpu/requires.hpp>
#include <moesaic/cpu/worker.hpp>
#include <moesaic/pipeline/adapters.hpp>
#include <moesaic/pipeline/checked.hpp>
#include <moesaic/pipeline/describe.hpp>
#include <moesaic/pipeline/forward.hpp>
#include <moesaic/pipeline/prepare.hpp>
#include <moesaic/pipeline/stages.hpp>
#include <moesaic/reference/on.hpp>
#include <moesaic/semantics/handoff.hpp>
#include <moesaic/version.hpp>
