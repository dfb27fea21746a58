// Fusing light tasks with their neighbours: fewer tasks, and tiles that are used while they are in cache.
// SPDX-License-Identifier: Apache-2.0
//
//   matmul ─▶ gelu ─▶ …      a light task with one predecessor joins it, unless that one is about other rows
//   norm ─▶ matmul           a light task with one successor on the same rows joins it
//
// Either way no cycle can arise: every path into (out of) the task goes through the one it joins.
#include <algorithm>

#include "runtime/plan/passes.hpp"

namespace tessera {
namespace {

constexpr size_t max_stages = 8;

bool light(const Task& task) {
  return std::all_of(task.stages.begin(), task.stages.end(),
                     [](const Stage& stage) { return stage.kernel && stage.kernel->light; });
}

constexpr int64_t no_rows = -1, any_rows = -2;

// The first row of what a task writes on the rows axis; any_rows where it writes nothing but temporaries.
int64_t row_of(const Plan& plan, const Task& task) {
  int64_t row = any_rows;
  for (const Stage& stage : task.stages)
    for (const Access& access : stage.accesses) {
      const Tile& tile = plan.tiles[static_cast<size_t>(access.tile)];
      if (access.mode == Mode::read || tile.tensor < 0) continue;
      const Shape& shape = plan.program.tensors[static_cast<size_t>(tile.tensor)].type.shape;
      if (shape.rank() > 0 && shape[0].axis == "rows") return tile.row0;
      row = no_rows;
    }
  return row;
}

// Whether the task would be taken from other rows' workers: what spreads over rows must not queue up in one
// task.
bool spreads(const Plan& plan, const Task& from, const Task& task) {
  const int64_t row = row_of(plan, task), source = row_of(plan, from);
  return row >= 0 && source != row && source != any_rows;
}

void append(Task& to, Task& from) {
  for (Stage& stage : from.stages) to.stages.push_back(std::move(stage));
  to.flops += from.flops;
  to.bytes += from.bytes;
  from.stages.clear();
}

void drop_empty(Plan& plan) {
  std::erase_if(plan.tasks, [](const Task& task) { return task.stages.empty(); });
}

void join_predecessors(Plan& plan) {
  link_tasks(plan);
  const size_t n = plan.tasks.size();
  std::vector<int> host(n);  // where a task's stages are now
  std::vector<std::vector<int>> before(n);
  for (size_t t = 0; t < n; ++t)
    for (int next : plan.tasks[t].next) before[static_cast<size_t>(next)].push_back(static_cast<int>(t));
  for (size_t t = 0; t < n; ++t) {
    host[t] = static_cast<int>(t);
    int only = -1;
    bool single = !before[t].empty();
    for (int earlier : before[t]) {
      const int at = host[static_cast<size_t>(earlier)];
      single = single && (only < 0 || only == at);
      only = at;
    }
    if (!single || !light(plan.tasks[t])) continue;
    Task& target = plan.tasks[static_cast<size_t>(only)];
    if (target.external() || target.micro_batch != plan.tasks[t].micro_batch ||
        target.stages.size() + plan.tasks[t].stages.size() > max_stages ||
        spreads(plan, target, plan.tasks[t]))
      continue;
    append(target, plan.tasks[t]);
    host[t] = only;
  }
  drop_empty(plan);
}

void join_successors(Plan& plan) {
  link_tasks(plan);
  std::vector<int> host(plan.tasks.size());
  for (size_t t = plan.tasks.size(); t-- > 0;) {
    host[t] = static_cast<int>(t);
    Task& task = plan.tasks[t];
    int only = -1;
    bool single = !task.next.empty();
    for (int later : task.next) {
      const int at = host[static_cast<size_t>(later)];
      single = single && (only < 0 || only == at);
      only = at;
    }
    if (!single || !light(task)) continue;
    Task& target = plan.tasks[static_cast<size_t>(only)];
    const int64_t row = row_of(plan, task);
    if (target.external() || row < 0 || row != row_of(plan, target) ||
        target.micro_batch != task.micro_batch || target.stages.size() + task.stages.size() > max_stages)
      continue;
    append(task, target);
    std::swap(task.stages, target.stages);
    std::swap(task.flops, target.flops);
    std::swap(task.bytes, target.bytes);
    host[t] = only;
  }
  drop_empty(plan);
}

}  // namespace

void fuse(Plan& plan) {
  join_predecessors(plan);
  join_successors(plan);
}

}  // namespace tessera
