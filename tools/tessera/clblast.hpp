// CLBlast, what matmul on OpenCL devices is compared with.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "runtime/device/queue.hpp"

namespace tessera {

// c = a b, all n × n of f32 on the queue's device, by CLBlast with the parameters that it comes with; waits.
void clblast_sgemm(DeviceQueue& queue, int64_t n, void* a, void* b, void* c);

}  // namespace tessera
