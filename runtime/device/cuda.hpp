// CUDA devices, and the queue that kernels are launched on there.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/device/queue.hpp"

namespace tessera {

struct CudaDevice {
  std::string name, driver, bus_id;  // "NVIDIA H100 80GB HBM3", "13.0", "0000:1b:00.0"
  int64_t memory_bytes = 0;
  int major = 0, minor = 0;  // compute capability
  int multiprocessors = 0;
  int64_t shared_bytes = 0;  // of a block

  std::string kind() const { return "cuda " + name + " " + driver; }  // all that decides how fast it is

  std::string architecture() const { return "sm_" + std::to_string(major) + std::to_string(minor); }
};

bool built_with_cuda();

// cuda:0, cuda:1, …; where there are none, why_no_cuda says why.
const std::vector<CudaDevice>& cuda_devices();
const std::string& why_no_cuda();

// A queue of its own on device `index`; throws Error where there is none.
std::unique_ptr<DeviceQueue> make_cuda_queue(int index);
// On what somebody else made (StarPU): a cudaStream_t of that device.
std::unique_ptr<DeviceQueue> make_cuda_queue(int index, void* stream);

}  // namespace tessera
