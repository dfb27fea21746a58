// What workers of each kind can do at most: matrix products, their memory, and copies to it and back.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "runtime/core/devices.hpp"
#include "runtime/device/queue.hpp"
#include "runtime/sched/performance_model.hpp"

namespace tessera {

// Of one of `workers` cores that all work.
Peaks measure_cpu(int workers);
// Tunes matmul first where the library has none; `progress` is told how far it is, from 0 to 1.
Peaks measure_device(DeviceQueue& queue, const std::function<void(double)>& progress = {});

}  // namespace tessera
