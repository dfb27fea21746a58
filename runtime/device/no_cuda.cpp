// A build without CUDA: no devices.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/device/cuda.hpp"

namespace tessera {

bool built_with_cuda() { return false; }

const std::vector<CudaDevice>& cuda_devices() {
  static const std::vector<CudaDevice> none;
  return none;
}

const std::string& why_no_cuda() {
  static const std::string why = "built without CUDA";
  return why;
}

std::unique_ptr<DeviceQueue> make_cuda_queue(int index) {
  throw error("cuda:{}: this build is without CUDA: configure it with -DTESSERA_CUDA=ON", index);
}

std::unique_ptr<DeviceQueue> make_cuda_queue(int index, void*) { return make_cuda_queue(index); }

}  // namespace tessera
