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

// Not where memory is short: a task needs room for all that it accesses, which would be too much.
std::optional<WorkerSpeed> device_alone(const Config& config, const std::vector<WorkerSpeed>& speeds) {
  if (config.run.device_memory != 0 || config.run.host_memory != 0) return std::nullopt;
  return only_device(config.train.batch * config.model.seq, speeds);
}

AutoTilingOptions tiling_options(const Config& config) {
  AutoTilingOptions options{.sequence = config.model.seq, .micro_batches = config.train.accumulate};
  if (!parse_devices(config.run.devices).only_cpu())
    options.speeds = calibrated_speeds(config, PerformanceModel(performance_file()));
  const bool alone = only_device(config.train.batch * config.model.seq, options.speeds).has_value();
  if (alone && !device_alone(config, options.speeds)) options.speeds.clear();
  return options;
}

}  // namespace

std::vector<WorkerSpeed> calibrated_speeds(const Config& config, const PerformanceModel& calibration) {
  const DeviceSet devices = parse_devices(config.run.devices);
  std::map<std::string, WorkerSpeed> speeds;
  const auto add = [&](const std::string& kind, const Peaks* nominal, int workers) {
    const Peaks* peaks = calibration.peaks(kind);
    if (!peaks) peaks = nominal;
    if (!peaks) return false;
    WorkerSpeed& speed = speeds.try_emplace(kind, WorkerSpeed{.workers = 0}).first->second;
    speed.flops = config.run.dtype == DType::f32 ? peaks->f32_flops : peaks->bf16_flops;
    speed.memory_bytes = peaks->memory_bytes;
    speed.device = kind != cpu_kind();
    speed.workers += workers;
    return true;
  };
  bool known = true;
  for (const int index : devices.opencl)
    if (const auto& all = opencl_devices(); index < static_cast<int>(all.size()))
      known = add(all[static_cast<size_t>(index)].kind(), nullptr, 1) && known;
  for (const int index : devices.cuda)
    if (const auto& all = cuda_devices(); index < static_cast<int>(all.size())) {
      const CudaDevice& device = all[static_cast<size_t>(index)];
      const Peaks nominal = nominal_gpu(device.multiprocessors);
      known = add(device.kind(), &nominal, 1) && known;
    }
  if (speeds.empty() || !known) return {};
  const int cores = static_cast<int>(std::max<int64_t>(1, config.run.workers));
  // Cores that were not measured make no difference beside a GPU, whatever they are.
  if (!add(cpu_kind(), devices.cuda.empty() ? nullptr : &nominal_core, cores)) return {};
  std::vector<WorkerSpeed> list;
  for (const auto& [kind, speed] : speeds) list.push_back(speed);
  return list;
}

int useful_workers(const Config& config) {
  const auto all = static_cast<int>(config.run.workers);
  if (config.run.tiling != "auto" || parse_devices(config.run.devices).only_cpu()) return all;
  return device_alone(config, calibrated_speeds(config, PerformanceModel(performance_file()))) ? 1 : all;
}

Plan training_plan(const Config& config, const Graph& graph) {
  PlanOptions options{.recompute = config.train.recompute,
                      .micro_batches = static_cast<int>(config.train.accumulate),
                      .pack = parse_devices(config.run.devices).only_cpu()};
  if (config.run.tiling != "auto") {
    options.tiling = Tiling::parse(config.run.tiling);
    return make_plan(graph, options);
  }
  const AutoTilingOptions automatic = tiling_options(config);
  options.tiling = auto_tiling(graph, automatic);
  // Longer than the device waits between tasks, shorter than a step by far.
  constexpr double run_seconds = 8e-3;
  if (const auto device = device_alone(config, automatic.speeds); device && device->workers == 1)
    options.runs = {.flops = run_seconds * device->flops, .bytes = run_seconds * device->memory_bytes};
  return make_plan(graph, options);
}

Plan evaluation_plan(const Config& config, const Graph& graph, const Tiling& training) {
  const Tiling rows = auto_tiling(graph, {.sequence = config.model.seq});
  return make_plan(graph, {.tiling = training.with("rows", rows)});
}

}  // namespace tessera
