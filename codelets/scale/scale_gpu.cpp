// scale on devices: its launches.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/scale/scale.hpp"
#include "runtime/device/queue.hpp"

namespace tessera {

void scale_gpu(const TileArgs& args, DeviceQueue& queue) {
  const int64_t n = args[1].size();
  queue.launch({"scale", "scale", {{"T", args[1].dtype}}}, for_each_wide(n), args[0], args[1],
               args.attributes<ScaleAttributes>().factor, n);
}

void scale_by_gpu(const TileArgs& args, DeviceQueue& queue) {
  const int64_t n = args[2].size();
  queue.launch({"scale", "scale_by", {{"T", args[2].dtype}}}, for_each_wide(n), args[0], args[1], args[2], n);
}

}  // namespace tessera
