// Training: steps, metrics, validation and checkpoints that resume to the same bits.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "models/config/config.hpp"
#include "runtime/exec/engine.hpp"

namespace tessera {

struct TrainProgress {
  int64_t step = 0, steps = 0;  // steps done, and of the whole run
  double loss = 0, lr = 0, grad_norm = 0;
  double tokens_per_s = 0, flops_per_s = 0, seconds_left = 0;
  std::optional<double> val_loss;
};

struct TrainOptions {
  std::filesystem::path out;  // the model folder
  bool resume = false;        // go on from the latest checkpoint, if there is one
  std::string engine = "starpu";
  std::filesystem::path explain_placement = {};  // a file for what a policy of ours says about each task
  std::filesystem::path record_placement = {};   // a file for the kind of worker of each task
  std::filesystem::path replay_placement = {};   // such a file: every task runs on its kind again
  bool strict_devices = false;                   // a device kernel that does not compile is a failure
  std::function<void(const std::string& line)> note = {};   // what was chosen: tiling, tasks, memory
  std::function<void(const TrainProgress&)> progress = {};  // after every step
};

struct TrainResult {
  int64_t steps = 0;
  double loss = 0;
  std::optional<double> val_loss;
  double seconds = 0;
  std::vector<WorkerUse> workers;  // what each of them did
};

// Throws Error for what the configuration gets wrong, Failure where the loss is not finite or a disk is full.
TrainResult train(Config config, const TrainOptions& options);

// The learning rate of a step (0-based): linear warm-up, then the schedule down to min_lr.
double learning_rate(const TrainConfig& config, int64_t step);

}  // namespace tessera
