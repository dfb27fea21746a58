// transpose on devices: its launch.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/device/queue.hpp"

namespace tessera {

void transpose_gpu(const TileArgs& args, DeviceQueue& queue) {
  const auto element = static_cast<int>(size_of(args[0].dtype));
  const bool on_cpu = queue.traits().is_cpu;
  const int side = on_cpu ? 64 / element : 32;  // a CPU moves whole cache lines
  const int items = on_cpu ? 1 : side, strands = on_cpu ? 1 : 8;
  const int64_t rows = args[0].rows, cols = args[0].cols;
  const int64_t squares = ((rows + side - 1) / side) * ((cols + side - 1) / side);
  const DType moved = element == 4 ? DType::i32 : DType::bf16;
  queue.launch(
      {"transpose", "transpose", {{"T", moved}, {"SIDE", side}, {"ITEM_COUNT", items}, {"STRANDS", strands}}},
      {.groups = {squares, 1, 1}, .items = {items, strands}}, args[0], args[1], rows, cols);
}

}  // namespace tessera
