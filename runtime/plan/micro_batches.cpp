// Order of micro-batches: all tasks of the first part of the rows before those of the second, and so on.
// SPDX-License-Identifier: Apache-2.0
//
// Gradient accumulation is an order, not another computation: the sums keep the shape that the tiling gives
// them, and activations of one part are free before the next begins.
#include <algorithm>
#include <numeric>

#include "runtime/core/error.hpp"
#include "runtime/plan/passes.hpp"

namespace tessera {

void order_micro_batches(Plan& plan, int count) {
  if (count <= 1) return;
  link_tasks(plan);
  for (Task& task : plan.tasks) {
    for (const Stage& stage : task.stages)
      for (const Access& access : stage.accesses) {
        const Tile& tile = plan.tiles[static_cast<size_t>(access.tile)];
        if (access.mode == Mode::read || tile.tensor < 0) continue;
        const Shape& shape = plan.program.tensors[static_cast<size_t>(tile.tensor)].type.shape;
        if (shape.rank() == 0 || shape[0].axis != "rows") continue;
        const int64_t rows = shape.rows();
        if (rows % count != 0) throw error("{} rows do not split into {} micro-batches", rows, count);
        const int64_t part = rows / count;
        if (tile.row0 / part != (tile.row0 + tile.rows - 1) / part)
          throw error("tiling: rows {} to {} lie in two micro-batches of {} rows; cut at multiples of {}",
                      tile.row0, tile.row0 + tile.rows, part, part);
        task.micro_batch = std::max(task.micro_batch, static_cast<int>(tile.row0 / part));
      }
    for (int next : task.next) {
      int& later = plan.tasks[static_cast<size_t>(next)].micro_batch;
      later = std::max(later, task.micro_batch);
    }
  }
  std::stable_sort(plan.tasks.begin(), plan.tasks.end(),
                   [](const Task& a, const Task& b) { return a.micro_batch < b.micro_batch; });
}

}  // namespace tessera
