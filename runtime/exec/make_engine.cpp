// Choosing an engine, and saying no to what this machine does not have.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "runtime/core/error.hpp"
#include "runtime/core/machine.hpp"
#include "runtime/core/text.hpp"
#include "runtime/device/cuda.hpp"
#include "runtime/device/opencl.hpp"
#include "runtime/exec/engine.hpp"

namespace tessera {
namespace {

std::unique_ptr<DeviceQueue> the_one_queue(const EngineOptions& options) {
  if (options.opencl.size() + options.cuda.size() != 1)
    throw error("engine device drives one device: give the index of one");
  return options.cuda.empty() ? make_opencl_queue(options.opencl[0]) : make_cuda_queue(options.cuda[0]);
}

}  // namespace

std::unique_ptr<Engine> make_engine(const EngineOptions& options) {
  EngineOptions checked = options;
  const int cores = usable_cores();
  if (checked.workers == 0) checked.workers = cores;
  if (checked.workers < 0 || checked.workers > cores)
    throw error("workers = {}: this machine has {} cores; ask for 1 to {}", checked.workers, cores, cores);
  if (checked.engine != "starpu" && checked.engine != "threads" && checked.engine != "device")
    throw error("engine {} is not known; use starpu, threads or device", shown(checked.engine));
  const std::vector<std::string> names = scheduler_names();  // StarPU itself would only warn
  const std::vector<std::string_view> known(names.begin(), names.end());
  if (std::find(known.begin(), known.end(), checked.scheduler) == known.end())
    throw error("scheduler {} is not known{}", shown(checked.scheduler),
                suggestion(checked.scheduler, known));
  if (checked.engine == "threads") return make_thread_engine(checked.workers);
  if (checked.engine == "device") return make_device_engine(the_one_queue(checked));
  return make_starpu_engine(checked);
}

}  // namespace tessera
