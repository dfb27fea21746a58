// Choosing an engine and its scheduler.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/exec/engine.hpp"

#include <algorithm>

#include "runtime/core/error.hpp"
#include "runtime/core/machine.hpp"
#include "runtime/core/text.hpp"
#include "runtime/device/cuda.hpp"
#include "runtime/device/opencl.hpp"
#include "runtime/exec/spill.hpp"
#include "runtime/sched/policies.hpp"

namespace tessera {

namespace {

void check_devices(const EngineOptions& options) {
  const auto n_opencl = options.opencl.empty() ? 0 : static_cast<int>(opencl_devices().size());
  for (int index : options.opencl)
    if (index < 0 || index >= n_opencl)
      throw error("opencl:{}: this {}", index,
                  built_with_opencl()
                      ? fmt::format("machine has {} OpenCL devices; see tessera info", n_opencl)
                      : "build is without OpenCL");
  const auto n_cuda = options.cuda.empty() ? 0 : static_cast<int>(cuda_devices().size());
  for (int index : options.cuda) {
    if (n_cuda == 0) throw error("cuda:{}: no CUDA device: {}", index, why_no_cuda());
    if (index < 0 || index >= n_cuda)
      throw error("cuda:{}: this machine has {} CUDA devices; see tessera info", index, n_cuda);
  }
  if (options.engine == "threads" && !(options.opencl.empty() && options.cuda.empty()))
    throw error("engine threads has CPU workers only; use starpu for devices");
}

std::unique_ptr<DeviceQueue> the_one_queue(const EngineOptions& options) {
  if (options.opencl.size() + options.cuda.size() != 1)
    throw error("engine device drives one device: give the index of one");
  return options.cuda.empty() ? make_opencl_queue(options.opencl[0]) : make_cuda_queue(options.cuda[0]);
}

}  // namespace

void describe(const EngineTask& task, ReadyTask& seen) {
  seen.label = task.label;
  seen.kernel = task.name;
  seen.priority = task.priority;
  seen.flops = task.flops;
  seen.bytes = task.bytes;
}

TaskAccess seen_by_policies(const EngineAccess& access, size_t bytes) {
  return {static_cast<int64_t>(bytes), access.mode != Mode::write, access.mode != Mode::read};
}

std::vector<std::string> scheduler_names() {
  std::vector<std::string> names;
  for (const PolicyEntry& entry : policy_table()) names.emplace_back(entry.name);
  for (std::string& name : starpu_scheduler_names()) names.push_back(std::move(name));
  return names;
}

EngineOptions checked(EngineOptions options) {
  const int cores = usable_cores();
  if (options.workers == 0) options.workers = cores;
  if (options.workers < 0 || options.workers > cores)
    throw error("workers = {}: this machine has {} cores; ask for 1 to {}", options.workers, cores, cores);
  if (options.engine != "starpu" && options.engine != "threads" && options.engine != "device")
    throw error("engine {} is not known; use starpu, threads or device", shown(options.engine));
  check_devices(options);
  return options;
}

namespace {

std::unique_ptr<Engine> make_unlimited(const EngineOptions& options) {
  if (options.engine == "device") return make_device_engine(the_one_queue(options));
  std::unique_ptr<Scheduler> policy = make_scheduler(options.scheduler);
  const std::vector<std::string> names = scheduler_names();  // StarPU itself would only warn
  const std::vector<std::string_view> known(names.begin(), names.end());
  if (!policy && std::find(known.begin(), known.end(), options.scheduler) == known.end())
    throw error("scheduler {} is not known{}", shown(options.scheduler),
                suggestion(options.scheduler, known));
  if (!policy && !options.explain.empty())
    throw error("scheduler {} is StarPU's and cannot explain what it does; take one of ours, such as {}",
                shown(options.scheduler), policy_table()[0].name);
  return options.engine == "threads" ? make_thread_engine(options, std::move(policy))
                                     : make_starpu_engine(options, std::move(policy));
}

}  // namespace

std::unique_ptr<Engine> make_engine(const EngineOptions& asked) {
  const EngineOptions options = checked(asked);
  if (options.host_memory == 0 && !options.swap.empty())
    throw error("run.swap = {}: is for what run.host_memory leaves no room for; set that as well",
                shown(options.swap));
  std::unique_ptr<Engine> engine = make_unlimited(options);
  if (options.host_memory == 0) return engine;
  const int64_t there = available_memory_bytes() + resident_bytes();
  return make_swap_engine(std::move(engine), {std::min(options.host_memory, there), options.swap});
}

}  // namespace tessera
