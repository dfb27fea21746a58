// Plans made by hand for the tests of policies and of the simulation.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "runtime/sched/simulate.hpp"

namespace tessera::testing_schedulers {

inline const Kernel some_kernel{.name = "some"};

// Tasks whose flops are their seconds on a core; each writes a tile of its own.
class SmallPlan {
 public:
  struct Options {
    double seconds = 1;
    std::vector<int> after = {};  // tasks, whose tiles it reads
    int priority = 0;
    int64_t bytes = 4;        // of its tile, which is read from the main memory first
    bool overwrites = false;  // which is not read then
  };
  int task(const Options& options) {
    const int index = static_cast<int>(plan.tasks.size());
    Stage stage;
    stage.kernel = &some_kernel;
    stage.flops = options.seconds;
    stage.label = std::to_string(index);
    plan.tiles.push_back({.rows = options.bytes / 4, .buffer = index});
    plan.buffers.push_back({.bytes = options.bytes, .tile = index});
    for (int before : options.after) stage.accesses.push_back(read(before));
    stage.accesses.push_back(options.overwrites ? write(index) : update(index));
    Task& made = plan.tasks.emplace_back();
    made.label = stage.label;
    made.flops = options.seconds;
    made.priority = options.priority;
    made.n_before = static_cast<int>(options.after.size());
    made.stages = {std::move(stage)};
    for (int before : options.after) plan.tasks[static_cast<size_t>(before)].next.push_back(index);
    return index;
  }
  Plan plan;
};

// `speed`: how many cores a device is worth; 0: it cannot run the tasks.
inline SimulatedMachine machine_of(const std::string& text, double speed = 1) {
  SimulatedMachine machine;
  machine.workers = workers_of(Machine::parse(text));
  machine.model = [speed](const Task& task, WorkerKind kind) -> std::optional<double> {
    if (kind == WorkerKind::cpu) return task.flops;
    if (speed == 0) return std::nullopt;
    return task.flops / speed;
  };
  return machine;
}

// First come, first served.
class Fifo : public Scheduler {
 public:
  void ready(const ReadyTask& task, const Load&) override { queue_.push_back(&task); }
  const ReadyTask* next(WorkerId worker, const Load& load) override {
    for (auto at = queue_.begin(); at != queue_.end(); ++at)
      if (const ReadyTask* task = *at; load.expected(*task, worker)) return queue_.erase(at), task;
    return nullptr;
  }

 private:
  std::vector<const ReadyTask*> queue_;
};

}  // namespace tessera::testing_schedulers
