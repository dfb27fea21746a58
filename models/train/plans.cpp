// Plans of training and evaluation.
// SPDX-License-Identifier: Apache-2.0
#include "models/train/plans.hpp"

#include <map>

#include "runtime/core/devices.hpp"
#include "runtime/core/machine.hpp"
#include "runtime/device/cuda.hpp"
#include "runtime/device/opencl.hpp"

namespace tessera {
namespace {

Tiling tiling_of(const Config& config, const Graph& graph) {
  if (config.run.tiling != "auto") return Tiling::parse(config.run.tiling);
  AutoTilingOptions options{.sequence = config.model.seq, .micro_batches = config.train.accumulate};
  if (!parse_devices(config.run.devices).only_cpu())
    options.speeds = calibrated_speeds(config, PerformanceModel(performance_file()));
  return auto_tiling(graph, options);
}

}  // namespace

std::vector<WorkerSpeed> calibrated_speeds(const Config& config, const PerformanceModel& calibration) {
  const DeviceSet devices = parse_devices(config.run.devices);
  std::vector<std::string> kinds;
  const auto add = [&](const std::vector<int>& indices, const auto& all) {
    for (int index : indices)
      if (index < static_cast<int>(all.size())) kinds.push_back(all[static_cast<size_t>(index)].kind());
  };
  if (!devices.opencl.empty()) add(devices.opencl, opencl_devices());
  if (!devices.cuda.empty()) add(devices.cuda, cuda_devices());
  if (kinds.empty()) return {};
  kinds.insert(kinds.end(), static_cast<size_t>(std::max<int64_t>(1, config.run.workers)), cpu_kind());
  std::map<std::string, WorkerSpeed> speeds;
  for (const std::string& kind : kinds) {
    const Peaks* peaks = calibration.peaks(kind);
    if (!peaks) return {};
    WorkerSpeed& speed = speeds.try_emplace(kind, WorkerSpeed{.workers = 0}).first->second;
    speed.flops = config.run.dtype == DType::f32 ? peaks->f32_flops : peaks->bf16_flops;
    ++speed.workers;
  }
  std::vector<WorkerSpeed> list;
  for (const auto& [kind, speed] : speeds) list.push_back(speed);
  return list;
}

Plan training_plan(const Config& config, const Graph& graph) {
  return make_plan(graph, {.tiling = tiling_of(config, graph),
                           .recompute = config.train.recompute,
                           .micro_batches = static_cast<int>(config.train.accumulate)});
}

Plan evaluation_plan(const Config& config, const Graph& graph, const Tiling& training) {
  const Tiling rows = auto_tiling(graph, {.sequence = config.model.seq});
  return make_plan(graph, {.tiling = training.with("rows", rows)});
}

}  // namespace tessera
