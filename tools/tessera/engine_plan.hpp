// Plans made by hand for measuring the engine: tasks of three handles (R, R, RW) that take a given time.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "runtime/plan/plan.hpp"

namespace tessera {

enum class EnginePattern : uint8_t { independent, chain, stencil };

std::string_view name_of(EnginePattern pattern);
EnginePattern engine_pattern_named(std::string_view name);  // throws Error on an unknown name

// `tasks` tasks of `nanoseconds` each (busy, not asleep); 0: they do nothing.
Plan engine_plan(EnginePattern pattern, int tasks, int64_t nanoseconds);

}  // namespace tessera
