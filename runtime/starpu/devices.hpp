// Which devices StarPU drives, and the queues of the workers that drive them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "runtime/exec/engine.hpp"

struct starpu_conf;

namespace tessera {

// Error for what this StarPU does not have.
void check_starpu(const EngineOptions& options);
void choose_devices(starpu_conf& conf, const EngineOptions& options);

// Per worker, null for CPU workers; made on the workers themselves once StarPU runs.
std::vector<std::unique_ptr<DeviceQueue>> make_queues();

}  // namespace tessera
