// A build without OpenCL: no devices.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/device/opencl.hpp"

namespace tessera {

bool built_with_opencl() { return false; }

std::string OpenclDevice::kind() const { return {}; }  // there is none to be asked

const std::vector<OpenclDevice>& opencl_devices() {
  static const std::vector<OpenclDevice> none;
  return none;
}

std::unique_ptr<DeviceQueue> make_opencl_queue(int index) {
  throw error("opencl:{}: this build is without OpenCL; configure it with -DTESSERA_OPENCL=ON", index);
}

std::unique_ptr<DeviceQueue> make_opencl_queue(void*, void*, void*) { return make_opencl_queue(0); }

}  // namespace tessera
