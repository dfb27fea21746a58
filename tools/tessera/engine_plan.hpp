// Plans made by hand for measuring the engine: tasks of three handles (R, R, RW) that take a given time.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "runtime/plan/plan.hpp"

namespace tessera {

// Besides independent tasks: a chain, in which each waits for the one before; a chain per worker; a stencil
// 64 wide, in which each waits for its neighbours in the row above; trees of 64 leaves that are joined by
// twos, each grown from the root of the last.
enum class EnginePattern : uint8_t { independent, chain, chains, stencil, tree };
inline constexpr std::array<std::string_view, 5> engine_patterns{"independent", "chain", "chains", "stencil",
                                                                 "tree"};

std::string_view name_of(EnginePattern pattern);
EnginePattern engine_pattern_named(std::string_view name);  // throws Error on an unknown name

struct EngineTasks {
  EnginePattern pattern = EnginePattern::independent;
  int tasks = 0;
  int64_t nanoseconds = 0;  // of each task, busy, not asleep; 0: they do nothing
  int chains = 1;           // of EnginePattern::chains
};
Plan engine_plan(const EngineTasks& what);

}  // namespace tessera
