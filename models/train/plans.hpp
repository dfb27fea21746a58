// Plans of training and evaluation, tiled as the configuration says.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/config/config.hpp"
#include "runtime/plan/auto_tiling.hpp"
#include "runtime/plan/plan.hpp"
#include "runtime/sched/performance_model.hpp"

namespace tessera {

// `tiling = "auto"` goes by the speeds that calibration found for run.devices, where those are unlike.
Plan training_plan(const Config& config, const Graph& graph);
// Variables keep the cuts they have in training; rows are cut anew.
Plan evaluation_plan(const Config& config, const Graph& graph, const Tiling& training);

// Of run.workers, those worth starting: one where run.devices has a device so fast that cores are of no help;
// the others' waiting would only keep that device's own thread off its core.
int useful_workers(const Config& config);

// Of the kinds in run.devices, as the calibration file says, or for GPUs what is usual; empty where that
// lacks one, or all are alike.
std::vector<WorkerSpeed> calibrated_speeds(const Config& config, const PerformanceModel& calibration);

}  // namespace tessera
