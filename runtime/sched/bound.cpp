// Lower bounds on a step: the linear program of the area, and the critical path.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/sched/simulate.hpp"

namespace tessera {
namespace {

constexpr double never = std::numeric_limits<double>::infinity();

}  // namespace

// With two kinds the best shares are those of a threshold: sorted by how much faster the second kind is, it
// takes tasks from the front until the first kind would be through with the rest at the same moment.
double area_bound(std::span<const std::array<double, 2>> seconds, std::array<int, 2> workers) {
  struct Pair {
    double first, second;
  };
  std::vector<Pair> shared;
  double first = 0, second = 0;  // how long each kind works
  for (const auto& task : seconds) {
    const Pair pair{workers[0] > 0 ? task[0] / workers[0] : never,
                    workers[1] > 0 ? task[1] / workers[1] : never};
    if (!std::isfinite(pair.first))
      second += pair.second;
    else if (!std::isfinite(pair.second))
      first += pair.first;
    else
      shared.push_back(pair);
  }
  std::sort(shared.begin(), shared.end(),
            [](const Pair& a, const Pair& b) { return a.first * b.second > b.first * a.second; });
  for (const Pair& task : shared) first += task.first;
  for (const Pair& task : shared) {
    if (second >= first) break;
    const double part = std::min(1.0, (first - second) / (task.first + task.second));
    first -= part * task.first;
    second += part * task.second;
  }
  return std::max(first, second);
}

Bound bound(const Plan& plan, const SimulatedMachine& machine) {
  std::array<int, 2> workers = {0, 0};
  for (const Worker& worker : machine.workers) ++workers[worker.kind != WorkerKind::cpu];
  std::vector<std::array<double, 2>> seconds(plan.tasks.size(), {never, never});
  std::vector<double> path(plan.tasks.size(), 0);
  Bound result;
  for (size_t t = plan.tasks.size(); t-- > 0;) {
    for (const Worker& worker : machine.workers) {
      double& best = seconds[t][worker.kind != WorkerKind::cpu];
      best = std::min(best, machine.seconds(plan, static_cast<int>(t), worker.kind).value_or(never));
    }
    for (int next : plan.tasks[t].next) path[t] = std::max(path[t], path[static_cast<size_t>(next)]);
    path[t] += std::min(seconds[t][0], seconds[t][1]);
    result.critical_path = std::max(result.critical_path, path[t]);
  }
  result.area = area_bound(seconds, workers);
  return result;
}

}  // namespace tessera
