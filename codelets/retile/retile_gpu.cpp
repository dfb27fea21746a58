// retile on devices: copies of rectangles.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "runtime/device/queue.hpp"

namespace tessera {

void retile_gpu(const TileArgs& args, DeviceQueue& queue) {
  const TileView& to = args[args.count() - 1];
  const auto element = static_cast<int64_t>(size_of(to.dtype));
  const auto region = [&](const TileView& tile, int64_t row, int64_t col) {
    return Region{tile.data, ((row - tile.row0) * tile.cols + col - tile.col0) * element,
                  tile.cols * element};
  };
  for (const TileView& from : args.tiles.first(args.count() - 1)) {
    const int64_t r0 = std::max(from.row0, to.row0), r1 = std::min(from.row0 + from.rows, to.row0 + to.rows);
    const int64_t c0 = std::max(from.col0, to.col0), c1 = std::min(from.col0 + from.cols, to.col0 + to.cols);
    if (r0 < r1 && c0 < c1)
      queue.copy(region(to, r0, c0), region(from, r0, c0), r1 - r0, (c1 - c0) * element);
  }
}

}  // namespace tessera
