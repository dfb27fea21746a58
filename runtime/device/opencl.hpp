// OpenCL devices, and the queue that kernels are launched on there.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/device/queue.hpp"

namespace tessera {

struct OpenclDevice {
  std::string name, platform, driver;
  int64_t memory_bytes = 0, local_bytes = 0;
  int compute_units = 0;
  bool is_cpu = false;
  std::string bus_id = {};  // "0000:1b:00.0"; empty where the driver does not say

  std::string kind() const;  // all that decides how fast it is
};

bool built_with_opencl();

// In the order of the driver's platforms: opencl:0, opencl:1, …; none where there is no driver.
const std::vector<OpenclDevice>& opencl_devices();

// A queue of its own on device `index`; throws Error where there is none.
std::unique_ptr<DeviceQueue> make_opencl_queue(int index);
// On what somebody else made (StarPU): a cl_context, cl_device_id and in-order cl_command_queue.
std::unique_ptr<DeviceQueue> make_opencl_queue(void* context, void* device, void* queue);

}  // namespace tessera
