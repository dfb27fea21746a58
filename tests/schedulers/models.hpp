// What the tests of policies simulate: StarPU's policies as models, a machine, and a training step.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <deque>
#include <map>

#include "models/train/plans.hpp"
#include "models/train/training_graph.hpp"
#include "runtime/sched/policies.hpp"
#include "runtime/sched/simulate.hpp"

namespace tessera::testing_schedulers {

// StarPU's eager: one queue, first come, first served.
class Eager final : public Scheduler {
 public:
  void ready(const ReadyTask& task, const Load&) override { queue_.push_back(&task); }
  const ReadyTask* next(WorkerId worker, const Load& load) override {
    for (auto at = queue_.begin(); at != queue_.end(); ++at)
      if (const ReadyTask* task = *at; load.expected(*task, worker)) return queue_.erase(at), task;
    return nullptr;
  }

 private:
  std::deque<const ReadyTask*> queue_;
};

// StarPU's dmdas: to the worker that is expected to finish it first, behind all that it was given; its queue
// is sorted by priority, and among equals what has most of its bytes there comes first.
class Dmdas final : public Scheduler {
 public:
  void ready(const ReadyTask& task, const Load& load) override {
    WorkerId best = -1;
    double best_finish = 0;
    for (WorkerId w : load.workers_for(task)) {
      const double finish = std::max(load.free_at(w), load.now()) + queued_[w] +
                            load.transfer_seconds(task, w) + load.expected(task, w)->seconds;
      if (best < 0 || finish < best_finish) best = w, best_finish = finish;
    }
    queued_[best] += load.expected(task, best)->seconds;
    queues_[best].push_back(&task);
  }
  const ReadyTask* next(WorkerId worker, const Load& load) override {
    auto& queue = queues_[worker];
    if (queue.empty()) return nullptr;
    const auto chosen = std::ranges::min_element(queue, {}, [&](const ReadyTask* task) {
      return std::pair(-static_cast<int64_t>(task->priority), load.missing_bytes(*task, worker));
    });
    const ReadyTask* task = *chosen;
    queue.erase(chosen);
    queued_[worker] -= load.expected(*task, worker)->seconds;
    return task;
  }

 private:
  std::map<WorkerId, std::vector<const ReadyTask*>> queues_;
  std::map<WorkerId, double> queued_;
};

// Nominal rates of one core, and how many cores a device is worth.
struct Rates {
  double flops_per_s = 50e9, bytes_per_s = 10e9;
  double matmul = 20, other = 5;
};

inline double core_seconds(const Plan& plan, const Stage& stage, const Rates& rates) {
  double bytes = 0;
  for (const Access& access : stage.accesses)
    bytes += static_cast<double>(plan.tiles[static_cast<size_t>(access.tile)].bytes());
  return stage.kernel->name.starts_with("matmul")
             ? stage.flops / rates.flops_per_s
             : std::max(stage.flops / rates.flops_per_s, bytes / rates.bytes_per_s);
}

// Eight cores, and two devices worth 20 cores each on matmuls and 5 on the rest, behind links of 12 GB/s.
inline SimulatedMachine mixed_machine(const Plan& plan, const Rates& rates = {}) {
  SimulatedMachine machine;
  machine.workers = workers_of(Machine::parse("cores=8 cuda=\"simulated\"/80GiBx2"));
  machine.noise = 0.2;
  machine.model = [&plan, rates](const Task& task, WorkerKind kind) {
    double seconds = 0;
    for (const Stage& stage : task.stages) {
      const double speed = kind == WorkerKind::cpu                    ? 1
                           : stage.kernel->name.starts_with("matmul") ? rates.matmul
                                                                      : rates.other;
      seconds += core_seconds(plan, stage, rates) / speed;
    }
    return std::optional<double>(seconds);
  };
  return machine;
}

// A training step of a GPT-2 of twelve layers.
struct TrainingStep {
  TrainingGraph training;
  Plan plan;

  explicit TrainingStep(const Config& config)
      : training(config), plan(training_plan(config, *training.graph)) {}
};

inline Config gpt2_config(int64_t batch, const std::string& tiling) {
  Config config;
  config.model = default_model(ModelKind::gpt2);
  config.model.vocab = 50257;
  config.train.batch = batch;
  config.run.tiling = tiling;
  return config;
}

}  // namespace tessera::testing_schedulers
