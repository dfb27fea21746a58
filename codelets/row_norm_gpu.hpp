// The launches that layer_norm and rms_norm share. Tiles and params as lower_norm and lower_norm_backward
// say.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>

#include "runtime/device/queue.hpp"

namespace tessera {

void sum_rows_gpu(const TileArgs& args, DeviceQueue& queue);

namespace row_norm {

// Rows whose sums are taken together, whatever the device's groups are.
constexpr int rows_together = 64;

// How a kernel's groups go through rows, as layer_norm_gpu.cl says.
struct Groups {
  int items = 1, rows_at_once = 1, rows = rows_together, held = 0, chains = 1;
};

// A CPU's item has rows of its own. On a GPU a row lies in the registers of as few warps as can hold it, and
// rows of one warp need not meet at barriers.
inline Groups groups_for(const DeviceQueue& queue, bool backward, std::span<const TileView> tiles,
                         const TileView& made) {
  if (queue.traits().is_cpu) return {.chains = 4};
  constexpr int wide = 8, warp = 32, most_items = 512, usual_items = 256;
  const int most_held = backward && tiles[0].dtype == DType::f32 ? 2 : 3;  // what registers allow
  const int64_t cols = tiles[0].cols;
  const bool can_hold =
      made.cols == cols && cols % wide == 0 && cols <= most_items * wide * most_held &&
      std::ranges::all_of(tiles, [](const TileView& tile) {
        return reinterpret_cast<uintptr_t>(tile.data) % 16 == 0;  // addresses, on the only GPUs known
      });
  if (!can_hold) return {.items = 128, .rows = backward ? rows_together : 1};
  int items = warp;
  while (cols > int64_t{items} * wide * most_held) items *= 2;
  const int at_once = std::max(1, usual_items / items);
  return {.items = items,
          .rows_at_once = at_once,
          .rows = backward ? rows_together : at_once,
          .held = static_cast<int>((cols + items * wide - 1) / (items * wide))};
}

inline Grid grid(const Groups& groups, int64_t rows) {
  return {.groups = {(rows + groups.rows - 1) / groups.rows, 1, 1},
          .items = {groups.items, groups.rows_at_once}};
}

inline DeviceKernel kernel(std::string_view name, const Groups& groups, DType type, bool centred,
                           bool shifted) {
  return {"layer_norm",
          name,
          {{"T", type},
           {"CENTRED", centred},
           {"SHIFTED", shifted},
           {"ITEM_COUNT", groups.items},
           {"ROWS_AT_ONCE", groups.rows_at_once},
           {"ROWS", groups.rows},
           {"HELD", groups.held},
           {"CHAINS", groups.chains}}};
}

inline int32_t int32(int64_t n) { return static_cast<int32_t>(n); }

}  // namespace row_norm

inline void norm_gpu(const TileArgs& args, DeviceQueue& queue, bool centred, float eps) {
  const TileView& x = args[0];
  const auto n_inputs = static_cast<size_t>(args.params[0]);
  for (const TileView& y : args.tiles.subspan(n_inputs + 1)) {
    const row_norm::Groups groups = row_norm::groups_for(queue, false, args.tiles, y);
    queue.launch(row_norm::kernel("normalise", groups, x.dtype, centred, n_inputs == 3),
                 row_norm::grid(groups, x.rows), x, args[1], args[n_inputs - 1], args[n_inputs], y,
                 row_norm::int32(x.rows), row_norm::int32(x.cols), row_norm::int32(y.col0),
                 row_norm::int32(y.cols), eps);
  }
}

// The sums over rows: by chunks of rows first, whose number depends on the tile alone.
inline void norm_backward_gpu(const TileArgs& args, DeviceQueue& queue, bool centred) {
  const TileView &x = args[0], &scale = args[1], &statistics = args[2], &d_y = args[3];
  const auto n_sums = static_cast<size_t>(args.params[1]);
  const TileView part{.rows = (x.rows + row_norm::rows_together - 1) / row_norm::rows_together,
                      .cols = x.cols};
  std::array<TileView, 2> parts{part, part};
  for (size_t k = 0; k < n_sums; ++k) parts[k].data = queue.scratch<float>(part.size());
  for (const TileView& d_x : args.tiles.subspan(4 + n_sums)) {
    const row_norm::Groups groups = row_norm::groups_for(queue, true, args.tiles, d_x);
    queue.launch(row_norm::kernel("norm_backward", groups, x.dtype, centred, n_sums == 2),
                 row_norm::grid(groups, x.rows), x, scale, statistics, d_y, d_x, parts[0], parts[n_sums - 1],
                 row_norm::int32(x.rows), row_norm::int32(x.cols), row_norm::int32(d_x.col0),
                 row_norm::int32(d_x.cols));
  }
  for (size_t k = 0; k < n_sums; ++k) {
    const std::array<TileView, 2> tiles{parts[k], args[4 + k]};
    sum_rows_gpu({.tiles = tiles, .params = {args.params[0]}}, queue);
  }
}

}  // namespace tessera
