// The launches that layer_norm and rms_norm share. Tiles and params as lower_norm and lower_norm_backward
// say.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include "runtime/device/queue.hpp"

namespace tessera {

void sum_rows_gpu(const TileArgs& args, DeviceQueue& queue);

namespace row_norm {

// Items of a group that has a row, and an item's independent sums; of one that sums over `rows`, its columns,
// its strands, and how many times eight columns an item has. A CPU's groups are one item, which works on
// vectors.
struct Groups {
  int width = 128, rows = 64, cols = 256, strands = 8, octets = 1, chains = 1;
  explicit Groups(const DeviceQueue& queue) {
    if (queue.traits().is_cpu) width = 1, cols = 64, strands = 1, octets = 8, chains = 4;
  }
  int items() const { return cols / 8 / octets; }
};

inline DeviceKernel kernel(std::string_view name, DType type, bool centred, bool shifted,
                           const Groups& groups) {
  return {"layer_norm",
          name,
          {{"T", type},
           {"CENTRED", centred},
           {"SHIFTED", shifted},
           {"WIDTH", groups.width},
           {"COLS", groups.cols},
           {"STRANDS", groups.strands},
           {"OCTETS", groups.octets},
           {"CHAINS", groups.chains},
           {"ROWS", groups.rows}}};
}

inline int32_t int32(int64_t n) { return static_cast<int32_t>(n); }

}  // namespace row_norm

inline void norm_gpu(const TileArgs& args, DeviceQueue& queue, bool centred, float eps) {
  const TileView& x = args[0];
  const auto n_inputs = static_cast<size_t>(args.params[0]);
  const row_norm::Groups groups(queue);
  const DeviceKernel kernel = row_norm::kernel("normalise", x.dtype, centred, n_inputs == 3, groups);
  const Grid grid{.groups = {x.rows, 1, 1}, .items = {groups.width, 1}};
  for (const TileView& y : args.tiles.subspan(n_inputs + 1))
    queue.launch(kernel, grid, x, args[1], args[n_inputs - 1], args[n_inputs], y, row_norm::int32(x.cols),
                 row_norm::int32(y.col0), row_norm::int32(y.cols), eps);
}

// The sums over rows: by chunks of rows first, whose number depends on the tile alone.
inline void norm_backward_gpu(const TileArgs& args, DeviceQueue& queue, bool centred) {
  const TileView &x = args[0], &scale = args[1], &statistics = args[2], &d_y = args[3];
  const auto n_sums = static_cast<size_t>(args.params[1]);
  const row_norm::Groups groups(queue);
  const auto kernel = [&](std::string_view name) {
    return row_norm::kernel(name, x.dtype, centred, n_sums == 2, groups);
  };
  const int32_t rows = row_norm::int32(x.rows), cols = row_norm::int32(x.cols);
  for (const TileView& d_x : args.tiles.subspan(4 + n_sums))
    queue.launch(kernel("norm_backward"), {.groups = {rows, 1, 1}, .items = {groups.width, 1}}, x, scale,
                 statistics, d_y, d_x, cols, row_norm::int32(d_x.col0), row_norm::int32(d_x.cols));

  TileView part{.rows = (x.rows + groups.rows - 1) / groups.rows, .cols = x.cols};
  std::array<TileView, 2> parts{part, part};
  for (size_t k = 0; k < n_sums; ++k) parts[k].data = queue.scratch<float>(part.size());
  const Grid grid{.groups = {(cols + groups.cols - 1) / groups.cols, part.rows, 1},
                  .items = {groups.items(), groups.strands}};
  queue.launch(kernel("norm_sums"), grid, x, statistics, d_y, parts[0], parts[n_sums - 1], rows, cols);
  for (size_t k = 0; k < n_sums; ++k) {
    const std::array<TileView, 2> tiles{parts[k], args[4 + k]};
    sum_rows_gpu({.tiles = tiles, .params = {args.params[0]}}, queue);
  }
}

}  // namespace tessera
