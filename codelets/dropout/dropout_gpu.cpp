// dropout on devices: its launch.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/dropout/dropout.hpp"
#include "runtime/device/queue.hpp"

namespace tessera {

// params[0]: columns of the whole tensor
void dropout_gpu(const TileArgs& args, DeviceQueue& queue) {
  const TileView& y = args[2];
  const DropoutOptions& options = args.attributes<DropoutAttributes>().options;
  const int64_t cols = args.params[0];
  const bool whole_rows = y.cols == cols;  // then the tile is one run
  const int64_t runs = whole_rows ? 1 : y.rows, length = whole_rows ? y.size() : y.cols;
  constexpr int width = 128;
  const int64_t run_groups = (length / 4 + 2 + width - 1) / width;  // its ends may lie inside of blocks
  queue.launch({"dropout", "dropout", {{"T", y.dtype}, {"WIDTH", width}}},
               {.groups = {runs * run_groups, 1, 1}, .items = {width, 1}}, args[0], args[1], y, length,
               y.row0 * cols + y.col0, cols, static_cast<int32_t>(run_groups), options.stream, options.p,
               1 / (1 - options.p));
}

}  // namespace tessera
