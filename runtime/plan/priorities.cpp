// Priorities: the longest path from a task to the end of the step, by cost.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "runtime/plan/passes.hpp"

namespace tessera {

// Nominal rates, only to weigh tasks against each other; never measured, so that plans are the same
// everywhere.
double nominal_seconds(const Task& task) {
  return 2e-6 + task.flops / 100e9 + static_cast<double>(task.bytes) / 10e9;
}

void prioritise(Plan& plan) {
  std::vector<double> path(plan.tasks.size(), 0);
  for (size_t t = plan.tasks.size(); t-- > 0;) {
    for (int next : plan.tasks[t].next) path[t] = std::max(path[t], path[static_cast<size_t>(next)]);
    path[t] += nominal_seconds(plan.tasks[t]);
    plan.tasks[t].priority = static_cast<int>(std::min(path[t] * 1e6, 2e9));
  }
}

}  // namespace tessera
