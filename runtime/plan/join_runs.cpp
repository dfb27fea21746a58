// Joining tasks that follow each other, for plans that one device works through alone.
// SPDX-License-Identifier: Apache-2.0
//
// A GPU goes through the launches of one task without a pause, but between tasks that depend on each other it
// waits until the host has seen the first one's end. Tasks are in an order that respects all dependencies, so
// what lies together in it can be one task.
#include "runtime/plan/passes.hpp"

namespace tessera {

void join_runs(Plan& plan, const RunLimit& limit) {
  double work = 0;
  Task* run = nullptr;
  for (Task& task : plan.tasks) {
    const double added = task.flops / limit.flops + static_cast<double>(task.bytes) / limit.bytes;
    if (!run || task.external() || run->external() || run->micro_batch != task.micro_batch ||
        work + added > 1) {
      run = &task;
      work = added;
      continue;
    }
    for (Stage& stage : task.stages) run->stages.push_back(std::move(stage));
    run->flops += task.flops;
    run->bytes += task.bytes;
    task.stages.clear();
    work += added;
  }
  std::erase_if(plan.tasks, [](const Task& task) { return task.stages.empty(); });
}

}  // namespace tessera
