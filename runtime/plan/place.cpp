// Placement: a task runs on the node of the tile that it writes.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/plan/passes.hpp"

namespace tessera {

void place(Plan& plan, const Placement& placement) {
  if (!placement) return;
  for (Task& task : plan.tasks)
    for (const Stage& stage : task.stages)
      for (const Access& access : stage.accesses)
        if (access.mode != Mode::read) task.node = placement(plan.tiles[static_cast<size_t>(access.tile)]);
}

}  // namespace tessera
