// A plan's step on a machine that need not exist: what a policy makes of it, and how well it could be done.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runtime/core/machine.hpp"
#include "runtime/plan/plan.hpp"
#include "runtime/sched/scheduler.hpp"

namespace tessera {

// Workers of the machine's first node: one per core, and one per device with memory of its own behind a link.
std::vector<Worker> workers_of(const Machine& machine);

struct SimulatedMachine {
  std::vector<Worker> workers;
  double link_bytes_per_s = 12e9;  // between the host and each device, in each direction at a time
  // Seconds of a task on a kind of worker, as the model has it; none: it cannot run there.
  std::function<std::optional<double>(const Task&, WorkerKind)> model;
  bool young = false;  // what the model says of itself
  // What tasks really take: the model's time, times `truth` of the kind, times 1 ± up to `noise`, of which
  // each task has its own share on each kind.
  std::array<double, n_worker_kinds> truth = {1, 1, 1};
  double noise = 0;
  uint64_t seed = 0;

  std::optional<double> expected(const Task& task, WorkerKind kind) const;
  std::optional<double> seconds(const Plan& plan, int task, WorkerKind kind) const;  // really
};

struct Simulated {
  double seconds = 0;  // until the step's last task is done
  struct ByWorker {
    int tasks = 0;
    double busy = 0, waiting = 0;  // waiting: for bytes, with nothing else to do
    int64_t fetched_bytes = 0;
  };
  std::vector<ByWorker> workers;
};

// One step of `plan`. Throws Failure, naming the policy, where it leaves tasks unrun, or what it threw.
Simulated simulate(const Plan& plan, const SimulatedMachine& machine, std::unique_ptr<Scheduler> policy,
                   const std::string& name);

// What no schedule of the step can beat on that machine, transfers left out.
struct Bound {
  double area = 0;           // all work, shared by cores and devices as favourably as can be
  double critical_path = 0;  // every task where it is fastest
  double seconds() const { return area > critical_path ? area : critical_path; }
};
Bound bound(const Plan& plan, const SimulatedMachine& machine);

// The least time in which tasks can be shared among `workers` of two kinds, parts of tasks allowed: a linear
// program with one constraint per kind, solved by giving each kind the tasks that it is best at. `seconds` of
// a kind that cannot run a task is infinite.
double area_bound(std::span<const std::array<double, 2>> seconds, std::array<int, 2> workers);

}  // namespace tessera
