// dropout on devices: its launch.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/dropout/dropout.hpp"
#include "codelets/uniform.hpp"
#include "runtime/device/queue.hpp"

namespace tessera {

// params[0]: columns of the whole tensor
void dropout_gpu(const TileArgs& args, DeviceQueue& queue) {
  const TileView& y = args[2];
  const DropoutOptions& options = args.attributes<DropoutAttributes>().options;
  const int64_t cols = args.params[0];
  const bool whole_rows = y.cols == cols;  // then the tile is one run
  const int64_t runs = whole_rows ? 1 : y.rows, length = whole_rows ? y.size() : y.cols;
  const bool on_cpu = queue.traits().is_cpu;
  const int items = on_cpu ? 1 : 128, chunk = on_cpu ? 32 : 128, blocks = on_cpu ? 256 : 128;
  const int64_t run_groups = (length / 8 + 2 + blocks - 1) / blocks;  // its ends may lie inside of blocks
  const DropoutRule rule(options.p);
  queue.launch(
      {"dropout", "dropout", {{"T", y.dtype}, {"BLOCKS", blocks}, {"CHUNK", chunk}, {"ITEM_COUNT", items}}},
      {.groups = {runs * run_groups, 1, 1}, .items = {items, 1}}, args[0], args[1], y, length,
      y.row0 * cols + y.col0, cols, static_cast<int32_t>(run_groups), options.stream, rule.least,
      rule.factor);
}

}  // namespace tessera
