// The front door: configurations, models, the hand-off types, every stage, and the reference backend. No dependency.
// (Layouts for other libraries, the checked mode and describe() are in pipeline/{adapters,checked,describe}.hpp; this door is kept small.)
#pragma once

#include <moesaic/config/layer.hpp>
#include <moesaic/config/models.hpp>
#include <moesaic/config/weights.hpp>
#include <moesaic/core/status.hpp>
#include <moesaic/core/views.hpp>
#include <moesaic/pipeline/forward.hpp>
#include <moesaic/pipeline/prepare.hpp>
#include <moesaic/pipeline/stages.hpp>
#include <moesaic/reference/on.hpp>
#include <moesaic/semantics/handoff.hpp>
#include <moesaic/version.hpp>
