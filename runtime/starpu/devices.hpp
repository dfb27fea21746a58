// Which devices StarPU drives, and the queues of the workers that drive them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/exec/engine.hpp"

struct starpu_conf;  // NOLINT(readability-identifier-naming)

namespace tessera {

// Error for what this StarPU does not have.
void check_starpu(const EngineOptions& options);
void choose_devices(starpu_conf& conf, const EngineOptions& options);

// While it lives, StarPU starts with a limit on each device's memory.
class DeviceMemoryLimit {
 public:
  explicit DeviceMemoryLimit(int64_t bytes);  // 0: none
  ~DeviceMemoryLimit();
  DeviceMemoryLimit(const DeviceMemoryLimit&) = delete;
  DeviceMemoryLimit& operator=(const DeviceMemoryLimit&) = delete;

 private:
  std::vector<std::pair<const char*, std::optional<std::string>>> before_;
};

// The most that a task may access to run on every device, where so many of that size must have room: StarPU
// waits for ever for room that is not there, and a device has the next task's tiles beside those of the task
// that runs.
int64_t largest_device_task(int at_once);

// Per worker, null for CPU workers; made on the workers themselves once StarPU runs.
std::vector<std::unique_ptr<DeviceQueue>> make_queues();

}  // namespace tessera
