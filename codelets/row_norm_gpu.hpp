// The launches that layer_norm and rms_norm share. Tiles and params as lower_norm and lower_norm_backward
// say.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include "runtime/device/queue.hpp"

namespace tessera {

void sum_rows_gpu(const TileArgs& args, DeviceQueue& queue);

namespace row_norm {

// Rows whose sums are taken together. A CPU's groups are one item, which has so many rows and sums over them
// as it goes; those of other devices have a row each, and further groups sum over the rows.
constexpr int rows_together = 64, sum_items = 32, sum_strands = 8, sum_cols = 8 * sum_items;

// Of a row: a warp where there are rows enough for all of them, which then need not meet at barriers, and a
// row is short, so that a warp has enough loads under way.
inline int items(const DeviceQueue& queue, const TileView& x) {
  const int64_t row_bytes = x.cols * static_cast<int64_t>(size_of(x.dtype));
  return queue.traits().is_cpu ? 1 : x.rows >= 2048 && row_bytes <= 2048 ? 32 : 128;
}
inline int64_t groups(const DeviceQueue& queue, int64_t rows) {
  return queue.traits().is_cpu ? (rows + rows_together - 1) / rows_together : rows;
}

inline DeviceKernel kernel(const DeviceQueue& queue, std::string_view name, const TileView& x, bool centred,
                           bool shifted) {
  const bool on_cpu = queue.traits().is_cpu;
  return {"layer_norm",
          name,
          {{"T", x.dtype},
           {"CENTRED", centred},
           {"SHIFTED", shifted},
           {"SUMMED", on_cpu},
           {"ITEM_COUNT", items(queue, x)},
           {"CHAINS", on_cpu ? 4 : 1},
           {"ROWS", on_cpu || name == "norm_sums" ? rows_together : 1},
           {"COLS", sum_items},
           {"STRANDS", sum_strands}}};
}

inline int32_t int32(int64_t n) { return static_cast<int32_t>(n); }

}  // namespace row_norm

inline void norm_gpu(const TileArgs& args, DeviceQueue& queue, bool centred, float eps) {
  const TileView& x = args[0];
  const auto n_inputs = static_cast<size_t>(args.params[0]);
  const DeviceKernel kernel = row_norm::kernel(queue, "normalise", x, centred, n_inputs == 3);
  const Grid grid{.groups = {row_norm::groups(queue, x.rows), 1, 1}, .items = {row_norm::items(queue, x), 1}};
  for (const TileView& y : args.tiles.subspan(n_inputs + 1))
    queue.launch(kernel, grid, x, args[1], args[n_inputs - 1], args[n_inputs], y, row_norm::int32(x.rows),
                 row_norm::int32(x.cols), row_norm::int32(y.col0), row_norm::int32(y.cols), eps);
}

// The sums over rows: by chunks of rows first, whose number depends on the tile alone.
inline void norm_backward_gpu(const TileArgs& args, DeviceQueue& queue, bool centred) {
  const TileView &x = args[0], &scale = args[1], &statistics = args[2], &d_y = args[3];
  const auto n_sums = static_cast<size_t>(args.params[1]);
  const bool on_cpu = queue.traits().is_cpu;
  const auto kernel = [&](std::string_view name) {
    return row_norm::kernel(queue, name, x, centred, n_sums == 2);
  };
  const int32_t rows = row_norm::int32(x.rows), cols = row_norm::int32(x.cols);
  const TileView part{.rows = (x.rows + row_norm::rows_together - 1) / row_norm::rows_together,
                      .cols = x.cols};
  std::array<TileView, 2> parts{part, part};
  for (size_t k = 0; k < n_sums; ++k) parts[k].data = queue.scratch<float>(part.size());
  for (const TileView& d_x : args.tiles.subspan(4 + n_sums))
    queue.launch(kernel("norm_backward"),
                 {.groups = {row_norm::groups(queue, rows), 1, 1}, .items = {row_norm::items(queue, x), 1}},
                 x, scale, statistics, d_y, d_x, parts[0], parts[n_sums - 1], rows, cols,
                 row_norm::int32(d_x.col0), row_norm::int32(d_x.cols));
  if (!on_cpu)
    queue.launch(kernel("norm_sums"),
                 {.groups = {(cols + row_norm::sum_cols - 1) / row_norm::sum_cols, part.rows, 1},
                  .items = {row_norm::sum_items, row_norm::sum_strands}},
                 x, statistics, d_y, parts[0], parts[n_sums - 1], rows, cols);
  for (size_t k = 0; k < n_sums; ++k) {
    const std::array<TileView, 2> tiles{parts[k], args[4 + k]};
    sum_rows_gpu({.tiles = tiles, .params = {args.params[0]}}, queue);
  }
}

}  // namespace tessera
