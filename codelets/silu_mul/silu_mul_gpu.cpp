// silu_mul on devices: its launches.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/device/queue.hpp"

namespace tessera {

void silu_mul_gpu(const TileArgs& args, DeviceQueue& queue) {
  const int64_t n = args[2].size();
  queue.launch({"silu_mul", "silu_mul", {{"T", args[2].dtype}}}, for_each_wide(n), args[0], args[1], args[2],
               n);
}

void silu_mul_backward_gpu(const TileArgs& args, DeviceQueue& queue) {
  const int64_t n = args[3].size();
  queue.launch({"silu_mul", "silu_mul_backward", {{"T", args[3].dtype}}}, for_each_wide(n), args[0], args[1],
               args[2], args[3], args[4], n);
}

}  // namespace tessera
