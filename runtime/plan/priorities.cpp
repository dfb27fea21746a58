// Priorities: the longest path from a task to the end of the next step, by cost.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "runtime/plan/passes.hpp"

namespace tessera {
namespace {

// Nominal rates, only to weigh tasks against each other; never measured, so that plans are the same
// everywhere.
double nominal_seconds(const Task& task) {
  return 2e-6 + task.flops / 100e9 + static_cast<double>(task.bytes) / 10e9;
}

}  // namespace

// An update of the first layer is wanted before one of the last, and what the next step waits for before what
// nobody does; so paths go on into the next step.
void prioritise(Plan& plan) {
  std::vector<double> path(plan.tasks.size(), 0), longer(plan.tasks.size(), 0);
  auto extend = [&](std::vector<double>& lengths, bool further) {
    for (size_t t = plan.tasks.size(); t-- > 0;) {
      double after = 0;
      for (int next : plan.tasks[t].next) after = std::max(after, lengths[static_cast<size_t>(next)]);
      if (further)
        for (int next : plan.tasks[t].next_step) after = std::max(after, path[static_cast<size_t>(next)]);
      lengths[t] = after + nominal_seconds(plan.tasks[t]);
    }
  };
  extend(path, false);
  extend(longer, true);
  for (size_t t = 0; t < plan.tasks.size(); ++t)
    plan.tasks[t].priority = static_cast<int>(std::min(longer[t] * 1e6, 2e9));
}

}  // namespace tessera
