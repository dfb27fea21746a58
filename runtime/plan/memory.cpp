// Adding up a plan's memory.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/plan/memory.hpp"

#include <algorithm>

#include "runtime/core/error.hpp"
#include "runtime/core/text.hpp"

namespace tessera {
namespace {

constexpr int64_t task_bytes = 2600;  // measured: what an engine keeps per task and set of tasks

}  // namespace

MemoryNeed memory_need(const Plan& plan) {
  return {.variables = plan.variable_bytes(),
          .intermediate = plan.intermediate_bytes(),
          .transfers = plan.transfer_bytes(),
          .engine = step_sets * task_bytes * static_cast<int64_t>(plan.tasks.size())};
}

int64_t activation_bytes(const Plan& plan) {
  const auto is_activation = [&](const Tile& tile) {
    if (tile.residence != Residence::intermediate || tile.tensor < 0) return false;
    const Shape& shape = plan.program.tensors[static_cast<size_t>(tile.tensor)].type.shape;
    return shape.rank() > 0 && shape[0].axis == "rows";
  };
  std::vector<int> last(plan.tiles.size(), -1);
  for (size_t t = 0; t < plan.tasks.size(); ++t)
    for (const Stage& stage : plan.tasks[t].stages)
      for (const Access& access : stage.accesses)
        last[static_cast<size_t>(access.tile)] = static_cast<int>(t);
  std::vector<bool> begun(plan.tiles.size(), false);
  std::vector<int64_t> ends(plan.tasks.size(), 0);
  int64_t held = 0, most = 0;
  for (size_t t = 0; t < plan.tasks.size(); ++t) {
    for (const Stage& stage : plan.tasks[t].stages)
      for (const Access& access : stage.accesses) {
        const auto id = static_cast<size_t>(access.tile);
        if (begun[id] || !is_activation(plan.tiles[id])) continue;
        begun[id] = true;
        held += plan.tiles[id].bytes();
        ends[static_cast<size_t>(last[id])] += plan.tiles[id].bytes();
      }
    most = std::max(most, held);
    held -= ends[t];
  }
  return most;
}

void check_memory(const MemoryNeed& need, int64_t available) {
  if (need.total() <= available) return;
  throw error(
      "the plan needs {} of memory ({} for variables, {} for intermediate results), {} are available; take a "
      "smaller model, batch or seq, or train.recompute = \"block\"",
      bytes_text(need.total()), bytes_text(need.variables), bytes_text(need.intermediate),
      bytes_text(available));
}

}  // namespace tessera
