// What a limit on main memory means for a plan, before it runs: refused, or so much on disk.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "runtime/core/machine.hpp"
#include "runtime/exec/engine.hpp"
#include "runtime/plan/memory.hpp"
#include "runtime/plan/plan.hpp"

namespace tessera {

// Bytes. A step's traffic is that of a later step, when tasks begin in the plan's order.
struct Spill {
  int64_t process = 0;            // without tiles
  int64_t tiles = 0;              // variables, intermediate results, inputs and fetches
  int64_t held = 0;               // of these in main memory, at most
  int64_t spilled = 0;            // the rest
  int64_t read = 0, written = 0;  // from and to the folder in a step
};

// Throws Error where the limit leaves no room for what one task needs at once, or where there is no folder
// for what does not fit. `process` is what the process takes without tiles, `tiles` all tiles.
void check_host_limit(const Plan& plan, const HostLimit& limit, int64_t process, int64_t tiles);

// The same for a plan alone in a new process, and what comes of it.
Spill forecast_spill(const Plan& plan, const HostLimit& limit, int64_t process);

// The engine within a limit. `resident` says what the process has.
std::unique_ptr<Engine> make_swap_engine(std::unique_ptr<Engine> engine, const HostLimit& limit,
                                         std::function<int64_t()> resident = resident_bytes);

}  // namespace tessera
