// cast on devices: its launch.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/device/queue.hpp"

namespace tessera {

void cast_gpu(const TileArgs& args, DeviceQueue& queue) {
  const int64_t n = args[1].size();
  queue.launch({"cast", "cast", {{"S", args[0].dtype}, {"T", args[1].dtype}}}, for_each_wide(n), args[0],
               args[1], n);
}

}  // namespace tessera
