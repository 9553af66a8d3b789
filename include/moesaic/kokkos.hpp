// The Kokkos door: the front door and the Kokkos backend. Needs Kokkos 4.5 to 5.x.
#pragma once

#include <moesaic/config/layer.hpp>
#include <moesaic/config/models.hpp>
#include <moesaic/config/weights.hpp>
#include <moesaic/core/status.hpp>
#include <moesaic/core/views.hpp>
#include <moesaic/kokkos/on.hpp>
#include <moesaic/pipeline/adapters.hpp>
#include <moesaic/pipeline/checked.hpp>
#include <moesaic/pipeline/describe.hpp>
#include <moesaic/pipeline/forward.hpp>
#include <moesaic/pipeline/prepare.hpp>
#include <moesaic/pipeline/stages.hpp>
#include <moesaic/reference/on.hpp>
#include <moesaic/semantics/handoff.hpp>
#include <moesaic/version.hpp>
