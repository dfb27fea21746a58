// Order of micro-batches: all tasks of the first part of the rows before those of the second, and so on.
// SPDX-License-Identifier: Apache-2.0
//
// Gradient accumulation is an order, not another computation: the sums keep the shape that the tiling gives
// them, and activations of one part are free before the next begins.
#include <algorithm>
#include <map>

#include "runtime/core/error.hpp"
#include "runtime/plan/passes.hpp"

namespace tessera {
namespace {

constexpr int none = -1, several = -2;

// For every tile the task that writes it, or none, or several.
std::vector<int> writers(const Plan& plan) {
  std::vector<int> by(plan.tiles.size(), none);
  for (size_t t = 0; t < plan.tasks.size(); ++t)
    for (const Stage& stage : plan.tasks[t].stages)
      for (const Access& access : stage.accesses)
        if (int& writer = by[static_cast<size_t>(access.tile)]; access.mode != Mode::read)
          writer = writer == none ? static_cast<int>(t) : several;
  return by;
}

// Whether the task lays out variables otherwise, in one tile of its own.
bool lays_out(const Plan& plan, const Task& task, const std::vector<int>& writer) {
  if (task.stages.size() != 1) return false;
  int written = 0;
  for (const Access& access : task.stages[0].accesses) {
    const auto at = static_cast<size_t>(access.tile);
    const Tile& tile = plan.tiles[at];
    const bool source = access.mode == Mode::read && tile.residence == Residence::variable;
    const bool own = access.mode == Mode::write && tile.tensor < 0 && writer[at] >= 0;
    if (!source && !own) return false;
    written += own ? 1 : 0;
  }
  return written == 1;
}

// What lays variables out otherwise is done again in every part that reads it, unless the variable has
// changed since: kept from the first part to the last, it would take the memory that parts are to save.
class Layouts {
 public:
  explicit Layouts(const Plan& plan) : plan_(plan), writer_(writers(plan)), writes_(plan.tiles.size()) {}

  // The tile that the task is to read in place of this one; where it is to be laid out first, by `again`.
  TileId tile_for(const Task& task, TileId tile, std::vector<Tile>& tiles, std::vector<Task>& again) {
    const int by = writer_[static_cast<size_t>(tile)];
    if (by < 0) return tile;
    const auto made = made_.find(by);
    if (made == made_.end() || plan_.tasks[static_cast<size_t>(by)].micro_batch == task.micro_batch ||
        made->second != writes_before(plan_.tasks[static_cast<size_t>(by)]))
      return tile;
    const auto [at, is_new] = copies_.try_emplace({tile, task.micro_batch}, static_cast<int>(tiles.size()));
    if (!is_new) return at->second;
    tiles.push_back(Tile(tiles[static_cast<size_t>(tile)]));
    Task& copy = again.emplace_back(plan_.tasks[static_cast<size_t>(by)]);
    copy.micro_batch = task.micro_batch;
    for (Access& access : copy.stages[0].accesses)
      if (access.tile == tile) access.tile = at->second;
    return at->second;
  }

  void pass(int t) {
    const Task& task = plan_.tasks[static_cast<size_t>(t)];
    if (lays_out(plan_, task, writer_)) made_.emplace(t, writes_before(task));
    for (const Stage& stage : task.stages)
      for (const Access& access : stage.accesses)
        writes_[static_cast<size_t>(access.tile)] += access.mode == Mode::read ? 0 : 1;
  }

 private:
  // To what the task reads.
  int writes_before(const Task& task) const {
    int n = 0;
    for (const Access& access : task.stages[0].accesses)
      if (access.mode == Mode::read) n += writes_[static_cast<size_t>(access.tile)];
    return n;
  }

  const Plan& plan_;
  std::vector<int> writer_, writes_;
  std::map<int, int> made_;                          // tasks that lay out, and writes_before each
  std::map<std::pair<TileId, int>, TileId> copies_;  // by tile and part
};

void lay_out_in_every_part(Plan& plan) {
  std::vector<Tile> tiles = plan.tiles;
  std::vector<Task> tasks;
  Layouts layouts(plan);
  for (size_t t = 0; t < plan.tasks.size(); ++t) {
    Task task = plan.tasks[t];
    for (Stage& stage : task.stages)
      for (Access& access : stage.accesses)
        if (access.mode == Mode::read) access.tile = layouts.tile_for(task, access.tile, tiles, tasks);
    tasks.push_back(std::move(task));
    layouts.pass(static_cast<int>(t));
  }
  plan.tiles = std::move(tiles);
  plan.tasks = std::move(tasks);
}

}  // namespace

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
  lay_out_in_every_part(plan);
}

}  // namespace tessera
