// add on devices: its launches.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/device/queue.hpp"

namespace tessera {
namespace {

DeviceKernel kernel(const TileArgs& args, std::string_view name) {
  return {"add", name, {{"T", args[2].dtype}, {"B", args[1].dtype}}};
}

}  // namespace

void add_gpu(const TileArgs& args, DeviceQueue& queue) {
  const int64_t n = args[2].size();
  queue.launch(kernel(args, "add"), for_each_wide(n), args[0], args[1], args[2], n);
}

void add_row_gpu(const TileArgs& args, DeviceQueue& queue) {
  const int64_t cols = args[2].cols;
  queue.launch(kernel(args, "add_row"), for_each_wide_in_rows(args[2].rows, cols), args[0], args[1], args[2],
               cols);
}

}  // namespace tessera
