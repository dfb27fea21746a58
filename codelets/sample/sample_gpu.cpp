// sample on devices: its launch.
// SPDX-License-Identifier: Apache-2.0
#include <bit>

#include "codelets/sample/sample_op.hpp"
#include "runtime/device/queue.hpp"

namespace tessera {

void sample_gpu(const TileArgs& args, DeviceQueue& queue) {
  constexpr int width = 256;  // items of a group
  const TileView& logits = args[0];
  const auto vocab = static_cast<uint32_t>(logits.cols);
  void* weights = queue.scratch<double>(logits.size());
  void* fault = queue.fault("sample: the temperature is not 0 or more");
  queue.launch({"sample", "sample", {{"T", logits.dtype}, {"WIDTH", width}}},
               {.groups = {logits.rows, 1, 1}, .items = {width, 1}}, logits, args[1], args[2], weights,
               args[3], fault, args.attributes<Sample>().stream, static_cast<int32_t>(logits.row0),
               static_cast<int32_t>(vocab), static_cast<int32_t>(std::bit_width(vocab - 1)));
}

}  // namespace tessera
