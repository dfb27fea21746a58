// The matrix product on devices, below the op: which form of the kernel computes it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/matmul/gemm.hpp"
#include "runtime/device/queue.hpp"

namespace tessera {

// Panels: a group is one item that works as a CPU's core does. Tiles: items share tiles in local memory, as
// GPUs like it. Both sum every element in the order of k.
enum class DeviceMatmul : uint8_t { panels, tiles };

// What else is added to C: nothing, what it holds, or another matrix that lies as C does.
struct Addend {
  void* data = nullptr;
  DType dtype = DType::f32;
  int64_t ld = 0;
};

void device_matmul(DeviceQueue& queue, const Gemm& shape, const GemmOperands& operands, const Addend& addend,
                   DeviceMatmul form);

}  // namespace tessera
