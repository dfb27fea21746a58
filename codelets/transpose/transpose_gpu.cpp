// transpose on devices: its launch.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/device/queue.hpp"

namespace tessera {

void transpose_gpu(const TileArgs& args, DeviceQueue& queue) {
  constexpr int side = 32, strands = 8;
  const int64_t rows = args[0].rows, cols = args[0].cols;
  const int64_t squares = ((rows + side - 1) / side) * ((cols + side - 1) / side);
  const DType moved = size_of(args[0].dtype) == 4 ? DType::i32 : DType::bf16;
  queue.launch({"transpose", "transpose", {{"T", moved}, {"SIDE", side}, {"STRANDS", strands}}},
               {.groups = {squares, 1, 1}, .items = {side, strands}}, args[0], args[1], rows, cols);
}

}  // namespace tessera
