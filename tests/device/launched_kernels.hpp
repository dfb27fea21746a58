// Which device kernels, with which definitions, the cases of all ops launch on a CUDA device.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "runtime/device/queue.hpp"

namespace tessera {

// In f32, bf16 and f16, forward and backward, by Tessera's own kernels where a library might have taken over.
const std::vector<DeviceKernel>& launched_kernels();

}  // namespace tessera
