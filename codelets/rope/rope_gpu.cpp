// rope on devices: its launch.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "codelets/rope/rope_op.hpp"
#include "runtime/device/queue.hpp"

namespace tessera {

void rope_gpu(const TileArgs& args, DeviceQueue& queue) {
  const auto& op = args.attributes<Rope>();
  const HeadLayout layout = op.layout();
  const int64_t half = layout.head_dim / 2, rows = args[0].rows;
  const bool on_cpu = queue.traits().is_cpu;
  const int items = on_cpu ? 1 : 128, rows_together = on_cpu ? 32 : 1;
  const DeviceKernel kernel{"rope",
                            "rope",
                            {{"T", args[0].dtype},
                             {"HALF", half},
                             {"UNIT", layout.group() + 2},
                             {"ITEM_COUNT", items},
                             {"ROWS", rows_together},
                             {"ADJACENT", op.options.pairs == RopeOptions::Pairs::adjacent}}};
  // From one pair's angle to the next's, as a fraction in 64 bits; 1 is the largest of them.
  const long double ratio = std::pow(static_cast<long double>(op.options.theta), -1.0L / half);
  const uint64_t fraction = ratio < 1 ? static_cast<uint64_t>(ratio * 0x1p64L) : ~uint64_t{0};
  const Grid grid{.groups = {(rows + rows_together - 1) / rows_together, 1, 1}, .items = {items, 1}};
  queue.launch(kernel, grid, args[0], args[1], args[2], static_cast<int32_t>(rows),
               static_cast<int32_t>(args[0].cols / layout.head_dim), fraction,
               static_cast<int32_t>(op.inverse));
}

}  // namespace tessera
