// A training step of a GPT-2 of twelve layers, and the machine that it is simulated on.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <string>

#include "models/train/plans.hpp"
#include "models/train/training_graph.hpp"
#include "runtime/sched/simulate.hpp"

namespace tessera::testing_schedulers {

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

inline const std::string vocabulary = "vocab=1523x9|1523x8|1523x8|1523x7,1521";

// Sequences of 1,024, f32; never run.
struct TrainingStep {
  struct Options {
    int64_t batch;
    std::string tiling;
  };
  explicit TrainingStep(const Options& options)
      : config(config_of(options)), training(config), plan(training_plan(config, *training.graph)) {}

  static Config config_of(const Options& options) {
    Config config;
    config.model = default_model(ModelKind::gpt2);
    config.model.layers = 12;
    config.model.heads = config.model.kv_heads = 12;
    config.model.width = 768;
    config.model.ffn = 3072;
    config.model.vocab = 50257;
    config.model.seq = 1024;
    config.train.batch = options.batch;
    config.run.tiling = options.tiling;
    config.run.devices = {"cpu:8", "cuda:0", "cuda:1"};  // as mixed_machine has them
    return config;
  }

  Config config;
  TrainingGraph training;
  Plan plan;
};

}  // namespace tessera::testing_schedulers
